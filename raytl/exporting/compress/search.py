"""Try the candidates one after the other, judge and measure each, and keep the best. Complete or absent, and resumable.

OUT/                                the best bundle
OUT-search/candidates/<name>/       the bundle of a candidate that was kept
OUT-search/candidates/<name>.json   its outcome; one that was rejected has an outcome and no bundle
OUT-search/compression.json         the result, and frontier.png, its plot
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Protocol

from raytl.bundle import client
from raytl.bundle.client import MODEL_JSON
from raytl.bundle.latency import drawn_photos, graph_bytes, timed
from raytl.bundle.opening import open_bundle
from raytl.bundle.processor import Processor, pinned, this_processor
from raytl.disk import disk_error
from raytl.errors import ModelError, RaytlError, UserError, first_line
from raytl.events import Message, OnEvent, Work
from raytl.exporting.calibration_images import CalibrationImages
from raytl.exporting.compress.candidate import REFERENCE, Candidate, Skipped, possible
from raytl.exporting.compress.choose import best, frontier, judged, shortfall
from raytl.exporting.compress.outcome import CANDIDATE_FORMAT, Compression, Outcome, Speed, Stored, Verdict
from raytl.exporting.compress.plots import draw_frontier
from raytl.exporting.compress.variant import write_variant
from raytl.run.atomic import atomic_dir, write_bytes, write_json
from raytl.run.plain import encode
from raytl.run.provenance import version
from raytl.store.drafts import drafted, sweep

SECONDS = 2.0
"""The time to measure a candidate for each batch size."""
BATCHES = (1, 32)
_PROGRAMS = ("raytl", "torch", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf")
_CODE = Path(__file__).parents[1]
_REASON = 300
"""Characters of the text of another program in a reason."""
RESULT = "compression.json"
FRONTIER = "frontier.png"


class Source(Protocol):
    """A trained model: its fp32 bundle, its judge, and the images to calibrate with."""

    @property
    def name(self) -> str:
        """Return the name of the run, for people."""
        ...

    @property
    def key(self) -> str:
        """Return a digest of the weights and of the images that judge and calibrate."""
        ...

    def write_base(self, out: Path) -> None:
        """Write the fp32 ONNX bundle into the folder `out`."""
        ...

    def judge(self, bundle: Path) -> Verdict:
        """Return the judgement of a bundle on validation."""
        ...

    def calibration(self) -> CalibrationImages:
        """Return the images that int8 takes its ranges from."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """The aims of a search: at most `target_ms` a call of one photo on `threads` threads (None = as fast as possible), at most
    `max_drop` points less than the saved model."""

    target_ms: float | None
    max_drop: float
    threads: int = 1
    seconds: float = field(default_factory=lambda: SECONDS)


@dataclass(frozen=True, eq=False)
class Step:
    """A candidate, and the model that it is made of."""

    source: Source
    candidate: Candidate


class _Rejected(Exception):
    """The bundle of a candidate is not kept; its outcome is."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(outcome.reason)


class _NotConverted(Exception):
    """A converter failed on a candidate; the text is the reason for its outcome."""


def search(steps: Sequence[Step], options: Options, out: Path, on_event: OnEvent) -> Compression:
    """Try the candidates, and write the best bundle as the folder `out`; the first candidate is the reference.

    Outcomes that an earlier search with the same model, images and machine left beside `out` are used again. If no candidate
    meets the target, `out` is left as it is.

    Raises:
        UserError: `out` is a folder with other files.
        ModelError: the model cannot be exported.
        RaytlError: the reference itself is not as good as the saved model.
    """
    refuse_other_files(out)
    processor, work = this_processor(), work_folder(out)
    tried, skipped = possible([step.candidate for step in steps], processor)
    sources = {step.candidate.name: step.source for step in steps}
    name = steps[0].source.name
    (work / "candidates").mkdir(parents=True, exist_ok=True)
    sweep(work, deep=True)
    sweep(out.parent, deep=False)
    outcomes: list[Outcome] = []
    for place, candidate in enumerate(tried):
        on_event(Work("candidates", place, len(tried), "candidates"))
        outcome = _outcome(sources[candidate.name], candidate, options, work, processor, on_event)
        outcomes.append(outcome)
        on_event(Message(_line(outcome)))
        if candidate.name == REFERENCE and outcome.status != "kept":
            raise RaytlError(f"{name}: {REFERENCE} is rejected: {outcome.reason}. No bundle was written")
    on_event(Work("candidates", len(tried), len(tried), "candidates"))
    return finished(name, [*outcomes, *map(_left_out, skipped)], options, out, processor)


def finished(name: str, outcomes: Sequence[Outcome], options: Options, out: Path, processor: Processor) -> Compression:
    """Choose the best of the outcomes, and write it to `out` and the result beside it."""
    chosen, work = best(outcomes, options.target_ms), work_folder(out)
    if chosen is not None:
        with atomic_dir(out) as draft:
            shutil.copytree(work / "candidates" / chosen.name, draft, dirs_exist_ok=True)
    result = Compression(
        run=name,
        target_ms=options.target_ms,
        max_drop=options.max_drop,
        threads=options.threads,
        processor=processor.name,
        cpu_flags=processor.flags,
        outcomes=tuple(outcomes),
        frontier=frontier(outcomes),
        best=None if chosen is None else chosen.name,
        shortfall=shortfall(outcomes, options.target_ms, options.max_drop),
        out=str(out),
        search=str(work),
        warnings=_warnings(outcomes, processor),
    )
    write_bytes(work / FRONTIER, draw_frontier(result))
    write_json(work / RESULT, result.to_json())
    return result


def work_folder(out: Path) -> Path:
    """Return the folder of the candidates of a search, beside the folder of its best bundle."""
    return out.with_name(f"{out.name}-search")


def refuse_other_files(out: Path) -> None:
    """Check that `out` is absent, empty or a bundle, which the best one replaces.

    Raises:
        UserError: it has other files.
    """
    if out.exists() and not (out / MODEL_JSON).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(
            f"--out {out}: found other files; expected a new folder or a bundle, which is replaced. Name another"
        )


def _outcome(
    source: Source, candidate: Candidate, options: Options, work: Path, processor: Processor, on_event: OnEvent
) -> Outcome:
    """Return the outcome of a candidate: the stored one if nothing that it depends on has changed, else a new one."""
    folder, record = work / "candidates" / candidate.name, work / "candidates" / f"{candidate.name}.json"
    key = _key(source, candidate, options, processor)
    stored = CANDIDATE_FORMAT.load(record, on_event) if record.is_file() else None
    if stored is not None and stored.key == key and (stored.outcome.status != "kept" or folder.is_dir()):
        return stored.outcome
    began = time.monotonic()
    try:
        with atomic_dir(folder) as draft:
            outcome = _tried(source, candidate, options, draft, work)
            if outcome.status != "kept":
                raise _Rejected(outcome)
    except _Rejected as rejected:
        outcome = rejected.outcome
        shutil.rmtree(folder, ignore_errors=True)
    outcome = replace(outcome, seconds=round(time.monotonic() - began, 1))
    write_json(record, asdict(Stored(1, key, outcome)))
    return outcome


def _tried(source: Source, candidate: Candidate, options: Options, draft: Path, work: Path) -> Outcome:
    """Write a candidate's bundle into `draft`, judge it, and measure it: of one that fails too, to say how close it came.

    Raises:
        ModelError: the reference itself cannot be exported or run; any other candidate is rejected then.
        DiskError: the disk is full, which says nothing about the candidate.
    """
    reference = work / "candidates" / REFERENCE
    base = work / "candidates" / candidate.base
    if candidate.base and not base.is_dir() and not _is_only_slow(work, candidate.base):
        return Outcome(candidate.name, "skipped", f"{candidate.base}, which it is made of, is rejected")
    try:
        _write(source, candidate, draft, base)
        verdict = source.judge(draft)
        speed, size = _measured(draft, draft if candidate.name == REFERENCE else reference, options)
    except ModelError as error:
        if candidate.name == REFERENCE:
            raise
        return Outcome(candidate.name, "rejected", first_line(error)[:_REASON])
    except _NotConverted as error:
        return Outcome(candidate.name, "rejected", str(error))
    return judged(Outcome(candidate.name, "kept", "", verdict, speed, size))


def _write(source: Source, candidate: Candidate, draft: Path, base: Path) -> None:
    """Write a candidate's bundle into `draft`, made of the bundle `base` if it is made of one; without that, of a new one."""
    try:
        if not candidate.base:
            source.write_base(draft)
        elif base.is_dir():
            write_variant(base, draft, candidate, source.calibration)
        else:
            with drafted(base, folder=True) as again:
                source.write_base(again)
                write_variant(again, draft, candidate, source.calibration)
    except (RaytlError, MemoryError):
        raise
    except Exception as error:  # converters raise errors of their own
        if fault := disk_error(error, str(draft)):
            raise fault from error
        raise _NotConverted(f"cannot be converted: {first_line(error)[:_REASON]}") from error


def _is_only_slow(work: Path, name: str) -> bool:
    """Return whether a candidate was rejected for its speed alone: in another form it may be faster than the reference."""
    record = work / "candidates" / f"{name}.json"
    verdict = CANDIDATE_FORMAT.load(record).outcome.verdict if record.is_file() else None
    return verdict is not None and not verdict.reason


def _measured(folder: Path, reference: Path, options: Options) -> tuple[Speed, int]:
    """Return the speed of a bundle, which takes turns with the reference, and the size of its graph."""
    with pinned(options.threads):
        folders = [folder] if folder == reference else [reference, folder]
        opened = [open_bundle(each, options.threads) for each in folders]
        timings = timed([each.model for each in opened], drawn_photos(), BATCHES, options.seconds)
    (one, many), base = timings[-1], timings[0][0]
    speed = Speed(one.median_ms, one.p99_ms, one.network_ms, many.median_ms, base.median_ms / one.median_ms)
    return speed, graph_bytes(opened[-1])


def _key(source: Source, candidate: Candidate, options: Options, processor: Processor) -> str:
    """Return a digest of what an outcome depends on: the model, the images, the machine, the recipe, and the programs that run it."""
    programs = [version(name) for name in _PROGRAMS]
    recipe = [asdict(candidate), _recipe()]
    parts = [source.key, recipe, options.max_drop, options.threads, asdict(processor), programs]
    return hashlib.sha256(encode(parts)).hexdigest()


@cache
def _recipe() -> str:
    """Return a digest of the code that exports, quantizes, judges and answers: its version stays the same while it is changed."""
    files = [*sorted(_CODE.rglob("*.py")), Path(client.__file__)]
    return hashlib.sha256(encode([path.read_text("utf-8") for path in files])).hexdigest()


def _left_out(skipped: Skipped) -> Outcome:
    return Outcome(skipped.name, "skipped", skipped.reason)


def _line(outcome: Outcome) -> str:
    speed = "" if outcome.speed is None else f", {outcome.speed.median_ms:.2f} ms a call"
    score = "" if outcome.verdict is None else f", {outcome.verdict.metric} {100 * outcome.verdict.score:.1f} %"
    return f"{outcome.name}: {outcome.status}{score}{speed}" + (f": {outcome.reason}" if outcome.reason else "")


def _warnings(outcomes: Sequence[Outcome], processor: Processor) -> tuple[str, ...]:
    if processor.has_int8 or not any(outcome.name.endswith("int8") and outcome.speed for outcome in outcomes):
        return ()
    return (
        f"this processor ({processor.name}) has no dot products of int8 (VNNI): int8 gains less here, and its weights have 7 bits",
    )
