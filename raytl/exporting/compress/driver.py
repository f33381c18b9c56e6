"""`compress`: open a run, choose the candidates, train students and pruned networks if that is requested, and search."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from raytl.config.machine import Machine
from raytl.cpus import usable_cpus
from raytl.errors import UserError
from raytl.events import Message, OnEvent, ignore
from raytl.exporting.compress.candidate import REFERENCE, UNTRAINED, Candidate, check_reference, requested
from raytl.exporting.compress.distill import Distillation, distill, distillation_key, write_start
from raytl.exporting.compress.outcome import Compression
from raytl.exporting.compress.prune import FRACTION, check_fractions
from raytl.exporting.compress.run_source import RunSource
from raytl.exporting.compress.search import Options, Step, refuse_other_files, search, work_folder
from raytl.exporting.graph import exporting_for
from raytl.exporting.place import local_folder
from raytl.exporting.trained_run import TrainedRun, open_run
from raytl.run.owner import sole_owner
from raytl.tasks.exporting import exporting_of

DISTILL, PRUNE = "distill", "prune"
STUDENT_FORMS = ("onnx-fp32", "openvino-fp32", "openvino-int8")
METHODS = (*(each.name for each in UNTRAINED), DISTILL, PRUNE)


def compress(
    run: str,
    *,
    target_ms: float | None = None,
    max_drop: float = 0.5,
    threads: int = 1,
    methods: Sequence[str] = (),
    teachers: Sequence[str] = (),
    student: str | None = None,
    unlabelled: str | None = None,
    epochs: int | None = None,
    prune_fractions: Sequence[float] = (),
    out: str | os.PathLike[str] | None = None,
    machine: Machine | None = None,
    on_event: OnEvent = ignore,
) -> Compression:
    """Search for a smaller and faster variant of the model of `run`; see `raytl.compress`.

    Raises:
        UserError: options that cannot take effect, or a task whose models are not compressed.
        RunError: no such run, not finished, or without validation images; or another process searches for the same `out`.
        ModelError: its network cannot be exported, or ONNX Runtime is not installed.
    """
    distillation = Distillation(tuple(teachers), student, unlabelled, epochs)
    names = requested(methods or [each.name for each in UNTRAINED], METHODS)
    check_options(target_ms, max_drop, threads, names, distillation, prune_fractions)
    check_reference()
    chosen = None if out is None else local_folder(out)
    trained = open_run(run, machine, on_event)
    refuse_other_answers(trained)
    trained.recorded("val")  # raises before anything is written
    source = RunSource(trained, max_drop, on_event)
    folder = chosen or Path("compressed") / trained.run_store.name
    refuse_other_files(folder)
    steps = [Step(source, each) for each in UNTRAINED if each.name in names]
    students = {
        prefix: (each, _student_folder(trained, each, folder))
        for prefix, each in trainings(names, distillation, prune_fractions).items()
    }
    with _only_search(work_folder(folder)):
        for (
            each,
            place,
        ) in students.values():  # all at first: a network that cannot be pruned ends no search after hours
            write_start(trained, each, place, on_event)
        for prefix, (each, place) in students.items():
            steps += _student_steps(prefix, source, each, place, on_event)
        return search(steps, Options(target_ms, max_drop, threads), folder, on_event)


@contextlib.contextmanager
def _only_search(work: Path) -> Iterator[None]:
    """Lock the folder of a search; one that leaves no file there leaves no lock either."""
    with sole_owner(work):
        try:
            yield
        finally:
            if not any(path.is_file() and path != work / ".lock" for path in work.rglob("*")):
                (work / ".lock").unlink(missing_ok=True)


def trainings(names: Sequence[str], distillation: Distillation, fractions: Sequence[float]) -> dict[str, Distillation]:
    """Return what is trained, by the prefix of its candidates: the networks pruned by `fractions`, then the student."""
    pruned = sorted(fractions or (FRACTION,)) if PRUNE in names else []
    students = {f"{PRUNE}-{each:g}": replace(distillation, student=None, pruned=each) for each in pruned}
    return {**students, **({DISTILL: distillation} if DISTILL in names else {})}


def check_options(
    target_ms: float | None,
    max_drop: float,
    threads: int,
    names: Sequence[str],
    distillation: Distillation,
    fractions: Sequence[float] = (),
) -> None:
    """Check that every option can take effect.

    Raises:
        UserError: one cannot.
    """
    cpus = usable_cpus()
    if target_ms is not None and not 0 < target_ms < 1e6:
        raise UserError(f"--target-ms {target_ms:g}: expected more than 0")
    if not 0 <= max_drop <= 100:
        raise UserError(f"--max-drop {max_drop:g}: expected points of accuracy from 0 to 100")
    if not 1 <= threads <= cpus:
        raise UserError(f"--threads {threads}: expected 1 to {cpus}, the CPUs that this process may use")
    _refuse_idle(names, distillation, fractions)
    if DISTILL in names and (reason := distillation.reason_against):
        raise UserError(f"--methods {DISTILL}: {reason}")
    if PRUNE in names:
        check_fractions(fractions)


def _refuse_idle(names: Sequence[str], distillation: Distillation, fractions: Sequence[float]) -> None:
    """Check that what trains with them is requested, for the options that training has.

    Raises:
        UserError: it is not.
    """
    given = {
        "--teacher": (bool(distillation.teachers), (DISTILL, PRUNE)),
        "--student": (distillation.student is not None, (DISTILL,)),
        "--unlabelled": (distillation.unlabelled is not None, (DISTILL, PRUNE)),
        "--epochs": (distillation.epochs is not None, (DISTILL, PRUNE)),
        "--prune-fraction": (bool(fractions), (PRUNE,)),
    }
    idle = {name: methods for name, (is_given, methods) in given.items() if is_given and not {*methods} & {*names}}
    if idle:
        raise UserError(
            f"{', '.join(idle)}: nothing is trained with it; add --methods {_remedy(idle)}, with others such as openvino-int8"
        )


def _remedy(idle: Mapping[str, tuple[str, ...]]) -> str:
    """Return the methods that use the options `idle`, by option if they differ."""
    options = {methods: [name for name in idle if idle[name] == methods] for methods in idle.values()}
    if len(options) == 1:
        return " or ".join(next(iter(options)))
    return " and ".join(f"{' or '.join(methods)} for {', '.join(names)}" for methods, names in options.items())


def refuse_other_answers(run: TrainedRun) -> None:
    """Check that the model answers with one class for each image.

    Raises:
        UserError: it does not.
        ModelError: it cannot be exported.
    """
    exporting = exporting_of(run.saved.task)
    if exporting is not None:
        exporting_for(run.saved)
    if exporting is None or exporting.kind != "classes":
        raise UserError(
            f"{run.run_store.uri}: models of the task {run.card.task} are not compressed; expected a classifier."
            " Use `raytl export --precision int8`, whose gate knows the scores of the task"
        )


def _student_folder(run: TrainedRun, distillation: Distillation, folder: Path) -> Path:
    """Return the folder in which the student is trained, of its own for each student."""
    weights = [open_run(each, run.machine, ignore).card.digest for each in distillation.teachers] or [run.card.digest]
    key = distillation_key(distillation, [run.card.digest, run.snapshot, *weights])
    return work_folder(folder) / "students" / key[:16]


def _student_steps(
    prefix: str, source: RunSource, distillation: Distillation, place: Path, on_event: OnEvent
) -> list[Step]:
    """Train the student in `place`, and return the candidates that are made of it; their names begin with `prefix`."""
    on_event(Message(f"{prefix}: training the student in {place}"))
    student = replace(source, student=distill(source.run, distillation, place, on_event))
    base = f"{prefix}-{REFERENCE}"
    forms = [each for each in UNTRAINED if each.name in STUDENT_FORMS]
    return [
        Step(
            student,
            Candidate(f"{prefix}-{each.name}", each.runtime, each.precision, "" if each.name == REFERENCE else base),
        )
        for each in forms
    ]
