"""The search: what it writes, what it keeps, and how it resumes."""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from raytl.bundle.card import read_bundle
from raytl.bundle.latency import Timing
from raytl.bundle.processor import Processor
from raytl.errors import DiskError, ModelError, RaytlError, UserError
from raytl.events import Message, OnEvent, Recorder, Work, ignore
from raytl.exporting.calibration_images import CalibrationImages
from raytl.exporting.compress import search as searching
from raytl.exporting.compress.candidate import REFERENCE, UNTRAINED, Candidate
from raytl.exporting.compress.outcome import Compression, Speed, Verdict
from raytl.exporting.compress.search import Options, Step
from tests.exporting.graphs import inputs, network_bundle

PROCESSOR = Processor("Example 9000", ("avx2",))
MS = {"onnx fp32": 8.0, "openvino fp32": 9.0, "onnx int8": 4.0, "openvino int8": 5.0}
FAST = [each for each in UNTRAINED if each.name in ("onnx-fp32", "openvino-fp32", "onnx-int8")]
OPTIONS = Options(target_ms=5.0, max_drop=0.5)


@dataclass
class FakeSource:
    """A small network and a judge that answers from a table of accuracies."""

    scores: dict[str, float] = field(default_factory=dict)
    key: str = "weights"
    name: str = "trash"
    judged: list[str] = field(default_factory=list)

    def write_base(self, out: Path) -> None:
        """Write the small network."""
        network_bundle(out)

    def judge(self, bundle: Path) -> Verdict:
        """Return the accuracy of the table, 91 % if it has none."""
        card = read_bundle(bundle)
        name = f"{card.runtime}-{card.precision}"
        self.judged.append(name)
        score = self.scores.get(name, 0.91)
        drop = 100 * (0.91 - score)
        return Verdict(
            "accuracy", score, 0.91, score - 0.91, 1.0, 376, f"may lose {drop:.1f} points" if drop > 0.5 else ""
        )

    def calibration(self) -> CalibrationImages:
        """Return eight images."""
        return CalibrationImages("d" * 64, (), inputs(8))


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the candidates the times of `MS` on a processor without VNNI."""

    def timed(models: Sequence[Any], photos: Any, batches: Sequence[int], seconds: float) -> list[tuple[Timing, ...]]:
        names = [f"{model.card['runtime']} {model.card['precision']}" for model in models]
        return [
            tuple(Timing(batch, 20, MS[name] * batch, MS[name] * batch, None) for batch in batches) for name in names
        ]

    monkeypatch.setattr(searching, "timed", timed)
    monkeypatch.setattr(searching, "this_processor", lambda: PROCESSOR)


def search(
    source: FakeSource, candidates: Sequence[Candidate], options: Options, out: Path, on_event: OnEvent
) -> Compression:
    """Search candidates of one model."""
    return searching.search([Step(source, each) for each in candidates], options, out, on_event)


def outcomes(result: Compression) -> dict[str, tuple[str, str]]:
    """Return the status and reason of each candidate."""
    return {each.name: (each.status, each.reason) for each in result.outcomes}


def test_a_search_keeps_the_best_bundle_that_meets_the_target(tmp_path: Path) -> None:
    recorder, out = Recorder(), tmp_path / "out"
    result = search(FakeSource(), FAST, OPTIONS, out, recorder)
    assert result.best == "onnx-int8" and result.shortfall == ""
    assert outcomes(result) == {
        "onnx-fp32": ("kept", ""),
        "openvino-fp32": ("rejected", "9.00 ms a call, not faster than onnx-fp32 on this machine (0.89 x)"),
        "onnx-int8": ("kept", ""),
    }
    work, card = tmp_path / "out-search", read_bundle(out)
    assert (card.precision, card.origin.calibration, card.origin.machine) == ("int8", "d" * 64, card.origin.machine)
    assert not (work / "candidates" / "openvino-fp32").exists(), "what is rejected is not written"
    assert (work / "frontier.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((work / "compression.json").read_text())["best"] == "onnx-int8"
    assert "no dot products of int8 (VNNI)" in result.warnings[0]
    assert any(
        isinstance(event, Message) and "onnx-int8: kept, accuracy 91.0 %, 4.00 ms" in event.text
        for event in recorder.events
    )
    assert [event.done for event in recorder.events if isinstance(event, Work)] == [0, 1, 2, 3]


def test_a_candidate_that_loses_too_much_is_not_written(tmp_path: Path) -> None:
    result = search(FakeSource({"onnx-int8": 0.86}), FAST, OPTIONS, tmp_path / "out", ignore)
    assert outcomes(result)["onnx-int8"] == ("rejected", "may lose 5.0 points")
    assert result.best is None and not (tmp_path / "out").exists()
    assert "onnx-int8 is fast (4.00 ms) but may lose 5.0 points (allowed: 0.5)" in result.shortfall


def test_a_search_resumes_with_the_candidates_that_are_not_done(tmp_path: Path) -> None:
    first = FakeSource()
    search(first, FAST[:2], OPTIONS, tmp_path / "out", ignore)
    again = FakeSource()
    result = search(again, FAST, OPTIONS, tmp_path / "out", ignore)
    assert again.judged == ["onnx-int8"] and result.best == "onnx-int8"
    assert search(again, FAST, OPTIONS, tmp_path / "out", ignore) == result
    assert again.judged == ["onnx-int8"]


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (FakeSource(key="other"), OPTIONS),
        (FakeSource(), Options(5.0, 1.0)),
        (FakeSource(), Options(5.0, 0.5, threads=2)),
    ],
)
def test_what_depends_on_something_that_changed_is_redone(source: FakeSource, options: Options, tmp_path: Path) -> None:
    search(FakeSource(), FAST[:1], OPTIONS, tmp_path / "out", ignore)
    search(source, FAST[:1], options, tmp_path / "out", ignore)
    assert source.judged == ["onnx-fp32"]


def test_another_target_chooses_anew_without_work_and_leaves_the_bundle(tmp_path: Path) -> None:
    search(FakeSource(), FAST, OPTIONS, tmp_path / "out", ignore)
    again = FakeSource()
    result = search(again, FAST, Options(1.0, 0.5), tmp_path / "out", ignore)
    assert again.judged == [] and result.best is None and read_bundle(tmp_path / "out").precision == "int8"


def test_an_interrupted_candidate_leaves_nothing(tmp_path: Path) -> None:
    class Interrupted(FakeSource):
        def judge(self, bundle: Path) -> Verdict:
            if self.judged:
                raise KeyboardInterrupt
            return super().judge(bundle)

    with pytest.raises(KeyboardInterrupt):
        search(Interrupted(), FAST, OPTIONS, tmp_path / "out", ignore)
    assert sorted(path.name for path in (tmp_path / "out-search" / "candidates").iterdir()) == [
        "onnx-fp32",
        "onnx-fp32.json",
    ]
    assert not (tmp_path / "out-search" / "compression.json").exists()


def test_a_candidate_that_cannot_be_converted_is_rejected_and_the_others_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("operator Foo is unknown\nand more")

    monkeypatch.setattr("raytl.exporting.compress.variant._converted", fail)
    result = search(FakeSource(), FAST, OPTIONS, tmp_path / "out", ignore)
    assert outcomes(result)["openvino-fp32"] == ("rejected", "cannot be converted: operator Foo is unknown")
    assert result.best == "onnx-int8"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The ratios of candidates by name, of a search whose bundles are empty; 1 without one."""
    ratios: dict[str, float] = {}

    def measured(folder: Path, reference: Path, options: Options) -> tuple[Speed, int]:
        ratio = ratios.get(folder.name.removeprefix(".").split(".")[0], 1.0)
        return Speed(8 / ratio, 9, None, 9, ratio), 1000

    monkeypatch.setattr(searching, "_measured", measured)
    monkeypatch.setattr(searching, "write_variant", lambda *_: None)
    monkeypatch.setattr(searching, "draw_frontier", lambda _: b"")
    return ratios


class Quick(FakeSource):
    """A source of empty bundles, which are as good as the model; `fault` is raised instead of writing one."""

    fault: Exception | None = None

    def write_base(self, out: Path) -> None:
        """Write nothing, or raise the fault."""
        if self.fault:
            raise self.fault

    def judge(self, bundle: Path) -> Verdict:
        """Pass."""
        self.judged.append(bundle.name)
        return Verdict("accuracy", 0.91, 0.91, 0.0, 1.0, 376)


def test_a_full_disk_says_nothing_about_a_candidate(tmp_path: Path, quick: dict[str, float]) -> None:
    source = Quick()
    source.fault = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(DiskError, match=r"onnx-fp32.*the disk is full.*run the same command again"):
        search(source, FAST[:1], OPTIONS, tmp_path / "out", ignore)
    source.fault = None
    assert outcomes(search(source, FAST[:1], OPTIONS, tmp_path / "out", ignore)) == {"onnx-fp32": ("kept", "")}


def test_a_student_that_cannot_be_exported_is_rejected_and_the_others_are_tried(
    tmp_path: Path, quick: dict[str, float]
) -> None:
    student = Quick()
    student.fault = ModelError("hiera cannot be exported: its operator aten.x\nand more")
    base = "distill-onnx-fp32"
    steps = [
        Step(Quick(), FAST[0]),
        Step(student, Candidate(base, "onnx", "fp32")),
        Step(student, Candidate("distill-openvino-int8", "openvino", "int8", base)),
        Step(Quick(), FAST[1]),
    ]
    quick["openvino-fp32"] = 1.25
    result = searching.search(steps, Options(None, 0.5), tmp_path / "out", ignore)
    assert outcomes(result) == {
        "onnx-fp32": ("kept", ""),
        "distill-onnx-fp32": ("rejected", "hiera cannot be exported: its operator aten.x"),
        "distill-openvino-int8": ("skipped", "distill-onnx-fp32, which it is made of, is rejected"),
        "openvino-fp32": ("kept", ""),
    }
    assert result.best == "openvino-fp32"
    with pytest.raises(ModelError, match="hiera cannot be exported"):
        search(student, FAST, OPTIONS, tmp_path / "other", ignore)


def test_a_candidate_that_its_runtime_cannot_run_is_rejected(tmp_path: Path, quick: dict[str, float]) -> None:
    class NotRun(Quick):
        def judge(self, bundle: Path) -> Verdict:
            if "openvino" in bundle.name:
                raise ModelError("openvino cannot open model.xml (Foo is not implemented)")
            return super().judge(bundle)

    result = search(NotRun(), FAST[:2], OPTIONS, tmp_path / "out", ignore)
    reason = "openvino cannot open model.xml (Foo is not implemented)"
    assert outcomes(result) == {"onnx-fp32": ("kept", ""), "openvino-fp32": ("rejected", reason)}


def test_a_student_that_is_good_and_not_faster_is_tried_in_its_other_forms(
    tmp_path: Path, quick: dict[str, float]
) -> None:
    quick["distill-openvino-int8"] = 1.5
    student, base = Quick(key="student"), "distill-onnx-fp32"
    steps = [
        Step(Quick(), FAST[0]),
        Step(student, Candidate(base, "onnx", "fp32")),
        Step(student, Candidate("distill-openvino-int8", "openvino", "int8", base)),
    ]
    result = searching.search(steps, Options(None, 0.5), tmp_path / "out", ignore)
    assert outcomes(result)[base][0] == "rejected"
    assert outcomes(result)["distill-openvino-int8"] == ("kept", "") and result.best == "distill-openvino-int8"
    written = {path.name for path in (tmp_path / "out-search" / "candidates").iterdir()}
    assert base not in written and len(written) == 5, "neither the rejected bundle nor a draft is left"


def test_a_reference_that_is_not_as_good_ends_the_search(tmp_path: Path) -> None:
    with pytest.raises(RaytlError, match="trash: onnx-fp32 is rejected: may lose 11.0 points. No bundle was written"):
        search(FakeSource({"onnx-fp32": 0.80}), FAST, OPTIONS, tmp_path / "out", ignore)
    assert not (tmp_path / "out-search" / "candidates" / REFERENCE).exists()


def test_a_damaged_outcome_names_its_file(tmp_path: Path) -> None:
    search(FakeSource(), FAST[:1], OPTIONS, tmp_path / "out", ignore)
    (tmp_path / "out-search" / "candidates" / "onnx-fp32.json").write_text("{")
    with pytest.raises(RaytlError, match=r"onnx-fp32.json.*Remove the file; it is measured again"):
        search(FakeSource(), FAST[:1], OPTIONS, tmp_path / "out", ignore)


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"found other files; expected a new folder or a bundle, which is replaced"):
        search(FakeSource(), FAST[:1], OPTIONS, tmp_path, ignore)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("changed", ["_recipe", "version"])
def test_an_outcome_of_another_recipe_or_program_is_not_used_again(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(FakeSource(), FAST, OPTIONS, tmp_path / "out", ignore)
    monkeypatch.setattr(f"raytl.exporting.compress.search.{changed}", lambda *names: "another")
    again = FakeSource()
    search(again, FAST, OPTIONS, tmp_path / "out", ignore)
    assert again.judged == [each.name for each in FAST]
