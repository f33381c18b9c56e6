"""`compress`: open a run, choose the candidates, train a student if that is requested, and search."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from raytl.config.machine import Machine
from raytl.errors import UserError
from raytl.events import Message, OnEvent, ignore
from raytl.exporting.compress.candidate import REFERENCE, UNTRAINED, Candidate, requested
from raytl.exporting.compress.distill import Distillation, distill, distillation_key
from raytl.exporting.compress.outcome import Compression
from raytl.exporting.compress.run_source import RunSource
from raytl.exporting.compress.search import Options, Step, refuse_other_files, search, work_folder
from raytl.exporting.graph import exporting_for
from raytl.exporting.trained_run import TrainedRun, open_run
from raytl.tasks.exporting import exporting_of

DISTILL = "distill"
STUDENT_FORMS = ("onnx-fp32", "openvino-fp32", "openvino-int8")
METHODS = (*(each.name for each in UNTRAINED), DISTILL)


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
    out: str | os.PathLike[str] | None = None,
    machine: Machine | None = None,
    on_event: OnEvent = ignore,
) -> Compression:
    """Search for a smaller and faster variant of the model of `run`; see `raytl.compress`.

    Raises:
        UserError: options that cannot take effect, or a task whose models are not compressed.
        RunError: no such run, not finished, or without validation images.
        ModelError: its network cannot be exported.
    """
    distillation = Distillation(tuple(teachers), student, unlabelled, epochs)
    names = requested(methods or [each.name for each in UNTRAINED], METHODS)
    check_options(target_ms, max_drop, threads, DISTILL in names, distillation)
    trained = open_run(run, machine, on_event)
    refuse_other_answers(trained)
    source = RunSource(trained, max_drop, on_event)
    folder = Path(out) if out is not None else Path("compressed") / trained.run_store.name
    refuse_other_files(folder)
    steps = [Step(source, each) for each in UNTRAINED if each.name in names]
    if DISTILL in names:
        steps += _student_steps(trained, source, distillation, folder, on_event)
    return search(steps, Options(target_ms, max_drop, threads), folder, on_event)


def check_options(
    target_ms: float | None, max_drop: float, threads: int, distills: bool, distillation: Distillation
) -> None:
    """Check that every option can take effect.

    Raises:
        UserError: one cannot.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if target_ms is not None and not 0 < target_ms < 1e6:
        raise UserError(f"--target-ms {target_ms:g}: expected more than 0")
    if not 0 <= max_drop <= 100:
        raise UserError(f"--max-drop {max_drop:g}: expected points of accuracy from 0 to 100")
    if not 1 <= threads <= cpus:
        raise UserError(f"--threads {threads}: expected 1 to {cpus}, the CPUs that this process may use")
    given = {
        "--teacher": bool(distillation.teachers),
        "--student": distillation.student is not None,
        "--unlabelled": distillation.unlabelled is not None,
        "--epochs": distillation.epochs is not None,
    }
    if idle := [name for name, is_given in given.items() if is_given and not distills]:
        raise UserError(
            f"{', '.join(idle)}: nothing is trained; add --methods {DISTILL}, with others such as openvino-int8"
        )
    if distills and (reason := distillation.reason_against):
        raise UserError(f"--methods {DISTILL}: {reason}")


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


def _student_steps(
    run: TrainedRun, source: RunSource, distillation: Distillation, folder: Path, on_event: OnEvent
) -> list[Step]:
    """Train the student, and return the candidates that are made of it."""
    weights = [open_run(each, run.machine, ignore).card.digest for each in distillation.teachers] or [run.card.digest]
    place = (
        work_folder(folder)
        / "students"
        / distillation_key(distillation, [run.card.digest, run.snapshot, *weights])[:16]
    )
    on_event(Message(f"distill: training the student in {place}"))
    student = replace(source, student=distill(run, distillation, place, on_event))
    base = f"{DISTILL}-{REFERENCE}"
    forms = [each for each in UNTRAINED if each.name in STUDENT_FORMS]
    return [
        Step(
            student,
            Candidate(f"{DISTILL}-{each.name}", each.runtime, each.precision, "" if each.name == REFERENCE else base),
        )
        for each in forms
    ]
