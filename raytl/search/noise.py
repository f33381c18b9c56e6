"""The noise of validation: the standard error of the best trial's score, measured once, ends a sweep that cannot gain more."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from raytl.errors import RaytlError, RunError, TrainingError, first_line
from raytl.events import Message, OnEvent
from raytl.metrics.confusion import Ints
from raytl.metrics.direction import sign
from raytl.out_of_memory import is_out_of_memory
from raytl.run import journal
from raytl.run.atomic import write_json
from raytl.run.epochs import EPOCH_FORMAT
from raytl.run.folder import RunFolder
from raytl.run.run_store import RunStore
from raytl.search.folds import fold_folders
from raytl.search.record import TrialRecord, finalists
from raytl.search.rescore import answers, fetched, smoothing_of
from raytl.search.stopping import MIN_TRIALS, Stop, decision
from raytl.search.summary import TOTAL, Total
from raytl.stored import Format
from raytl.stored.bounds import Count, within
from raytl.tasks.calibration import divided
from raytl.tasks.inference import Truths
from raytl.tasks.reporting import Evaluated
from raytl.tasks.saved import load_saved
from raytl.tasks.task import Rows
from raytl.training.job import TrainJob

_FILE = "noise.json"
_MAX_RESAMPLES, _MIN_RESAMPLES, _IMAGES = 200, 30, 100_000
"""Resamples: so many that together they have about `_IMAGES` images, within the limits."""
_BOOTSTRAP_S = 10.0
"""The time after which the least number of resamples has to do: the driver gives trials nothing to do meanwhile."""


@dataclass(frozen=True, slots=True)
class Noise:
    """The standard error of the validation score of a trial."""

    trial: Count
    standard_error: Annotated[float, within(0, 1e9)]


NOISE_FORMAT = Format[Noise](
    Noise, "the noise of a sweep's validation", "Delete the file; it is measured again when the sweep resumes."
)


@dataclass
class NoiseStop:
    """Decide when the sweep in `folder` stops; `measure` returns the noise of a trial's validation score."""

    folder: Path
    metric: str
    measure: Callable[[TrialRecord], float]
    on_event: OnEvent
    _is_unknown: bool = False

    def decide(self, trials: Sequence[TrialRecord], remaining: int) -> Stop | None:
        """Return and store the end of the sweep that suggested these `trials`; None if it should continue.

        It follows from the trials and the stored noise alone. The first points of the space end in any case.
        """
        running_first = any(each.state == "running" and each.source != "sampler" for each in trials)
        scored = [(record, record.values[0]) for record in finalists(list(trials), self.metric) if record.values]
        if running_first or len(scored) < MIN_TRIALS or all(record.source != "sampler" for record, _ in scored):
            return None
        if (noise := self._noise(scored[0][0])) is None:
            return None
        stop = decision([sign(self.metric) * value for _, value in scored], remaining, noise)
        if stop is None:
            return None
        total = Total(len(trials), planned=len(trials) + remaining, stop=stop)
        write_json(self.folder / TOTAL, asdict(total))
        self.on_event(Message(f"{stop.reason}; --add N runs N more"))
        return stop

    def _noise(self, best: TrialRecord) -> float | None:
        """Return the noise of the sweep, measured on the `best` trial if it is not stored; None if that is impossible."""
        path = self.folder / _FILE
        if path.exists():
            return NOISE_FORMAT.load(path).standard_error
        if self._is_unknown:
            return None
        try:
            error = self.measure(best)
        except RaytlError as problem:
            self._is_unknown = True
            text = f"trial {best.number}: {problem}\n  The noise of validation is unknown, so all trials run."
            self.on_event(Message(text, "warning"))
            return None
        write_json(path, asdict(Noise(best.number, error)))
        self.on_event(
            Message(f"noise of validation: standard error of {self.metric} {error:.4f} (trial {best.number})")
        )
        return error


def validation_noise(record: TrialRecord, sweep: TrainJob, metric: str) -> float:
    """Return the standard error of `metric` of the best checkpoint of a trial: its bootstrap over the validation images.

    Raises:
        RaytlError: the checkpoint is neither on this node nor in a bucket, the score is undefined, or memory is too small.
    """
    if sweep.folds:
        return _fold_noise(record, sweep, metric)
    try:
        return _image_noise(record, sweep, metric)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = first_line(error)
    finally:
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
    raise TrainingError(f"validation: out of memory: {reason}")


def _image_noise(record: TrialRecord, sweep: TrainJob, metric: str) -> float:
    truths, rows, classes = _calibrated(record, sweep)
    evaluated = Evaluated((), truths, rows, classes, own=len(classes))
    scored = sweep.task.reporting.resampled(evaluated, metric.removeprefix("val/"))

    def validated(draw: Ints) -> float:
        resampled = tuple(column[draw] for column in rows)
        return sweep.task.validation(_Drawn(truths, draw), resampled, classes).metrics[metric]

    measured = validated if scored is None else lambda draw: float(scored(draw[None])[0])
    return standard_error(measured, len(truths))


def _calibrated(record: TrialRecord, sweep: TrainJob) -> tuple[Truths, Rows, tuple[str, ...]]:
    """Return truths, rows and classes of the validation split, as the trial's network answers it with its temperature."""
    saved = load_saved(RunFolder(Path(fetched(record, sweep.s3).folder)).best)
    given = answers(saved.module, saved.card, sweep, smoothing_of(record, sweep))
    temperature = given.validation(sweep).temperature
    rows = given.rows if temperature is None else (divided(given.rows[0], temperature), *given.rows[1:])
    return given.truths, rows, given.classes


def _fold_noise(record: TrialRecord, sweep: TrainJob, metric: str) -> float:
    """Return the standard error of the mean over folds: their standard deviation over the root of their number."""
    scores: list[float] = []
    for uri in fold_folders(record.folder, len(sweep.folds)):
        run_store = RunStore(uri, s3=sweep.s3)
        run_store.fetch()
        epochs = journal.read(run_store.folder.metrics, EPOCH_FORMAT)
        defined = [sign(metric) * epoch[metric] for epoch in epochs if epoch.get(metric) is not None]
        scores += [sign(metric) * max(defined)] if defined else []
    if len(scores) < len(sweep.folds):
        raise RunError(f"{record.folder}: {len(sweep.folds) - len(scores)} folds have no epoch with a score")
    return statistics.stdev(scores) / math.sqrt(len(scores))


def standard_error(
    measured: Callable[[Ints], float], n: int, seed: int = 0, clock: Callable[[], float] = time.monotonic
) -> float:
    """Return the standard deviation of `measured(draw)` over draws of n images with replacement (Efron 1979).

    There are 30 to 200 draws, the fewer the more images; after 10 s by `clock`, no more than 30, which give it within 13 %.

    Raises:
        TrainingError: it is defined for none of them.
    """
    rng, started = np.random.default_rng(seed), clock()
    values: list[float] = []
    while len(values) < min(_MAX_RESAMPLES, max(_MIN_RESAMPLES, _IMAGES // n)):
        if len(values) >= _MIN_RESAMPLES and clock() - started > _BOOTSTRAP_S:
            break
        values.append(measured(rng.integers(0, n, n)))
    defined = np.array(values)[np.isfinite(values)]
    if len(defined) < 2:
        raise TrainingError(f"validation: the score is undefined for {len(values)} resamples of its {n} images")
    return float(defined.std(ddof=1))


class _Drawn(Sequence[Any]):
    """The truths of a draw of images, read when they are used."""

    def __init__(self, truths: Sequence[Any], draw: Ints) -> None:
        self._truths, self._draw = truths, draw

    def __len__(self) -> int:
        return len(self._draw)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        return self._truths[int(self._draw[place])]
