"""Two runs side by side: config, data, and results with a paired test where both were evaluated on the same images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raytl.catalog.difference import ConfigChange, DataChange, config_changes, data_change
from raytl.config.stored import MOST_BYTES, read_stored
from raytl.data.manifest import Sample, snapshot_id
from raytl.data.samples import SAMPLE_FORMAT
from raytl.errors import RunError, TooLarge
from raytl.evaluation.evaluate import OUTCOMES
from raytl.evaluation.stored import REPORT_FORMAT
from raytl.metrics.paired import Paired
from raytl.run.folder import MANIFEST_FORMAT
from raytl.run.ledger import REPORT
from raytl.run.place import EXPERIMENT, Place, place_of
from raytl.run.provenance import PROVENANCE_FORMAT
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.tasks.registry import task_named
from raytl.training.records import SUMMARY_FORMAT

_SPLITS = ("test", "val")
_MAX_REPORTS = 100
_MAX_OUTCOME_BYTES = 64 << 20
Pair = tuple[float | None, float | None]


@dataclass(frozen=True)
class Comparison:
    """The differences between the run `before` and the run `after`.

    `validation` has the metrics of the task in both best epochs. `split` is the split that both were evaluated on, with `scores` by
    name; empty if there is none. `tests` are paired tests on the same images; without them, `no_test` says why.
    """

    before: str
    after: str
    config: tuple[ConfigChange, ...]
    data: DataChange
    validation: Mapping[str, Pair]
    split: str
    scores: Mapping[str, Pair]
    tests: tuple[Paired, ...]
    no_test: str


@dataclass(frozen=True)
class _Report:
    """An evaluation: its images, by a digest of their keys, labels and bytes, and its scores."""

    folder: str
    data: str
    scores: Mapping[str, float]


def compare(before: str, after: str, s3: S3Settings = ENVIRONMENT) -> Comparison:
    """Return what differs between two runs: folders, s3:// URIs, or versions such as `models:trash@champion`.

    Raises:
        RunError: one of them is no run, or a file in it is damaged.
        StoreError: a bucket cannot be read.
    """
    pair = _run_at(before, s3), _run_at(after, s3)
    recipes = [read_stored(each.content(EXPERIMENT, MOST_BYTES), f"{each.uri}/{EXPERIMENT}").recipe for each in pair]
    split, reports = _reports(*pair)
    tests, no_test = _tests(pair, reports, {recipe.task for recipe in recipes})
    return Comparison(
        before=before,
        after=after,
        config=config_changes(*recipes),
        data=data_change((_snapshot(pair[0]), _snapshot(pair[1])), _samples(pair[0]), _samples(pair[1])),
        validation=_pairs(_validation(pair[0]), _validation(pair[1])),
        split=split,
        scores=_pairs(reports[0].scores, reports[1].scores) if reports else {},
        tests=tests,
        no_test=no_test,
    )


def _run_at(run: str, s3: S3Settings) -> Place:
    place = place_of(run, s3)
    if not place.has("samples.jsonl"):
        raise RunError(
            f"{run}: found a sweep or a trial, expected a run; name the sweep's winner, such as runs/NAME-winner"
        )
    return place


def _snapshot(place: Place) -> str:
    origin = place.load("provenance.json", PROVENANCE_FORMAT)
    return snapshot_id(origin.dataset) if origin else ""


def _samples(place: Place) -> list[Sample]:
    content = place.content("samples.jsonl", SAMPLE_FORMAT.max_total_bytes)
    return list(SAMPLE_FORMAT.lines(content, f"{place.uri}/samples.jsonl"))


def _validation(place: Place) -> Mapping[str, float]:
    manifest = place.load("manifest.json", MANIFEST_FORMAT)
    if manifest is None:
        return {}
    summary = SUMMARY_FORMAT.typed(manifest.summary, f"{place.uri}/manifest.json: summary")
    return {
        name: value
        for name, value in summary.metrics.items()
        if name.startswith("val/") and not name.endswith("seconds")
    }


def _pairs(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, Pair]:
    return {name: (before.get(name), after.get(name)) for name in {**before, **after}}


def _reports(before: Place, after: Place) -> tuple[str, tuple[_Report, _Report] | None]:
    """Return the first split that both runs were evaluated on, and their last reports on it."""
    for split in _SPLITS:
        one, other = _report(before, split), _report(after, split)
        if one and other:
            return split, (one, other)
    return "", None


def _report(place: Place, split: str) -> _Report | None:
    """Return the last report on a split: `evaluation/test`, then `evaluation/test-2`, ..."""
    last = None
    for look in range(1, _MAX_REPORTS):
        folder = f"evaluation/{split}" + (f"-{look}" if look > 1 else "")
        report = place.load(f"{folder}/{REPORT}", REPORT_FORMAT)
        if report is None:
            break
        scores = {name: bounds.value for name, bounds in report.metrics.items()}
        last = _Report(folder, report.data, scores)
    return last


def _tests(
    pair: tuple[Place, Place], reports: tuple[_Report, _Report] | None, tasks: set[str]
) -> tuple[tuple[Paired, ...], str]:
    """Return the paired tests, or the reason why there are none."""
    if reports is None:
        return (), "the runs have no reports on the same split; `raytl evaluate RUN --split val` writes one"
    if reports[0].data != reports[1].data:
        return (), f"the reports are on different images ({reports[0].data[:12]} and {reports[1].data[:12]})"
    if len(tasks) > 1:
        return (), f"the runs are of different tasks ({', '.join(sorted(tasks))})"
    try:
        outcomes = [_outcomes(place, report) for place, report in zip(pair, reports, strict=True)]
    except TooLarge as error:
        return (), str(error)
    if not all(content for content, _ in outcomes):
        return (
            (),
            "a report has no outcomes.jsonl, as raytl 0.1.0 wrote it; `raytl evaluate` writes it with each new report",
        )
    return task_named(tasks.pop()).reporting.paired_outcomes(*outcomes)


def _outcomes(place: Place, report: _Report) -> tuple[bytes, str]:
    """Return the outcomes of all images, empty if there are none, and their name in errors."""
    name = f"{report.folder}/{OUTCOMES}"
    content = place.content(name, _MAX_OUTCOME_BYTES) if place.has(name) else b""
    return content, f"{place.uri}/{name}"
