"""`report`: the sections of a run, written into its folder `evaluation/report`, completely or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from raytl.assessment import groups
from raytl.assessment.collect import Source, collected, last_look
from raytl.assessment.corrupted import collected_robustness
from raytl.assessment.findings.evidence import FindingEvidence
from raytl.assessment.fine_tuned import fine_tuned_gaps
from raytl.assessment.live import Model, opened_photos
from raytl.assessment.methods import method_facts, method_sentences
from raytl.assessment.model_card import model_card
from raytl.assessment.operating import operating_points
from raytl.assessment.page import page
from raytl.assessment.pretrained import pretrained_features
from raytl.assessment.section import Evidence, Options, Section, SectionResult
from raytl.assessment.sections import NEEDS_PHOTOS, NEEDS_RGB, check_aims, chosen
from raytl.config.machine import Machine
from raytl.config.schema import ColumnRole
from raytl.config.stored import stored_experiment
from raytl.data.bit_depth import RGB
from raytl.data.corruptions.suite import suite_named
from raytl.disk import writing
from raytl.errors import UserError
from raytl.evaluation.evaluate import check_run, verified_card
from raytl.evaluation.robustness import PHOTOS, SUITE
from raytl.evaluation.settings import in_force, tell_ignored
from raytl.events import Message, OnEvent, Work, ignore
from raytl.metrics.aim import aims, texts
from raytl.metrics.intervals import Interval
from raytl.models.card import Card
from raytl.run.atomic import replace_dir, write_json, write_text
from raytl.run.folder import RunFolder
from raytl.run.ledger import REPORT, LedgerEntry
from raytl.run.operating import REPORT_FOLDER, OperatingPoints, write_operating
from raytl.run.plots import save
from raytl.run.run_store import RunStore
from raytl.store.drafts import drafted, sweep
from raytl.store.s3_settings import S3Settings
from raytl.tasks.findings import finding_kind
from raytl.tasks.registry import task_named

FOLDER, PAGE, CARD = REPORT_FOLDER, "report.html", "MODEL_CARD.md"
FORMAT = 1
_PNG_IN = 8.0


@dataclass(frozen=True)
class Assessment:
    """The report of a run: its sections by name, and the `folder` with report.html, report.json, MODEL_CARD.md and pictures.

    `images` counts those of each split that was used, `scores` are those of the evaluation of test. `methods` are sentences on
    what changed labels, images and domain; most runs have none.
    """

    run: str
    card: Card
    look: LedgerEntry
    quick: bool
    images: Mapping[str, int]
    scores: Mapping[str, Interval]
    sections: Mapping[str, SectionResult]
    folder: str
    methods: tuple[str, ...] = ()

    @property
    def unmet(self) -> tuple[str, ...]:
        """Return a sentence for each aim that is not met."""
        return tuple(text for section in self.sections.values() for text in section.unmet)

    def to_json(self) -> dict[str, Any]:
        """Return report.json; its schema is `report.schema.json` of this package."""
        return {
            "format": FORMAT,
            "run": self.run,
            "model": self.card.model,
            "task": self.card.task,
            "weights": self.card.digest,
            "look": self.look.look,
            "quick": self.quick,
            "classes": list(self.card.classes),
            "images": dict(self.images),
            "scores": {name: [each.value, each.low, each.high] for name, each in self.scores.items()},
            "unmet": list(self.unmet),
            "methods": list(self.methods),
            "sections": {name: _section_json(each) for name, each in self.sections.items()},
        }


def _section_json(section: SectionResult) -> dict[str, Any]:
    return {
        "title": section.title,
        "sentences": list(section.sentences),
        "warnings": list(section.warnings),
        "tables": [
            {"title": each.title, "head": list(each.head), "rows": [list(row) for row in each.rows]}
            for each in section.tables
        ],
        "figures": [f"{name}.png" for name in section.picture_files],
        "data": dict(section.json),
    }


def report(
    run: str | Path,
    *,
    sections: Sequence[str] | None = None,
    require: Sequence[str] = (),
    recall: Sequence[str] = (),
    quick: bool = False,
    full: bool = False,
    suite: str | None = None,
    photos: int | None = None,
    device: str | None = None,
    machine: Machine | None = None,
    on_event: OnEvent = ignore,
) -> Assessment:
    """Write the report of a run on what can be trusted, from the stored evidence of its evaluation; no test image is read.

    `require` and `recall` are aims such as `accuracy>=0.95` and `trash>=0.9`; `Assessment.unmet` names those that are not met.
    With `quick`, the train split is not used, and no photo is corrupted; otherwise at most `photos` (100) validation photos
    are, by the corruptions of `suite` (camera). With `full`, networks that never saw a group are trained, from train and
    validation. Clusters, buckets and the device are those of `machine`, never those of the run.

    Raises:
        UserError: no such section or suite, a wrong aim, an option without effect, or a task without a report.
        RunError: no such run, not finished, changed files, or its test split was not evaluated with evidence.
        DataError: images of train or validation changed or are missing.
        DiskError: the report cannot be written.
    """
    require, recall = texts(require), texts(recall)
    machine = in_force(machine, device)
    run_store = RunStore.open(str(run), S3Settings.of(machine.storage))
    folder = run_store.folder
    card = verified_card(folder, on_event)
    check_run(folder, "test", on_event)
    stored_run, task = stored_experiment(folder.experiment), task_named(card.task)
    columns, channels = stored_run.recipe.data.columns, card.preprocess.channels
    parts = chosen(task, None if sections is None else texts(sections), columns, quick, channels)
    check_aims(task, parts, [*require, *recall])
    _check_photos(parts, suite, photos)
    _check_full(parts, columns, full, quick)
    tell_ignored(stored_run, machine, 1, on_event)
    source = Source(run_store, stored_run.recipe, card, machine, on_event)
    model = None if quick else cache(lambda: Model(source))
    options = Options(
        aims(require, recall, card.classes, "accuracy" if finding_kind(task) is None else "precision"),
        quick,
        model=model,
        on_event=on_event,
        suite=suite or SUITE,
        photos=photos or PHOTOS,
        open_photos=None if quick else partial(opened_photos, source),
    )
    look, methods = last_look(source), method_sentences(method_facts(folder, stored_run.recipe))
    _check_writable(folder.evaluation / FOLDER)
    scores = task.reporting.stored(look.report_folder(folder)).overall
    evidence = _evidence(source, look, parts, options, full)
    results, written = _results(parts, evidence, options), str(folder.evaluation / FOLDER)
    result = Assessment(run_store.name, card, look, quick, _images(evidence), scores, results, written, methods)
    _write(result, _operating(evidence, card, look, options, folder))
    run_store.push()
    return result


def _evidence(
    source: Source, look: LedgerEntry, parts: Sequence[Section[Any]], options: Options, full: bool
) -> Evidence | FindingEvidence:
    """Return the evidence that the sections need, and report those that the channels of the model leave out."""
    if (channels := source.card.preprocess.channels) != RGB:
        left_out = ", ".join(sorted(NEEDS_RGB))
        options.on_event(
            Message(f"the model reads {channels} channels; there are no sections {left_out}, which need RGB")
        )
    evidence = collected(source, look, any(part.needs_train for part in parts) and not options.quick)
    if _need_photos(parts):
        robustness: Any = collected_robustness(source, options.suite, options.photos)
        evidence = replace(evidence, robustness=robustness)
    if isinstance(evidence, Evidence) and groups.SECTION in parts and not options.quick:
        gaps = fine_tuned_gaps(source, full)
        evidence = replace(evidence, pretrained=pretrained_features(source, evidence), fine_tuned=gaps)
    return evidence


def _results(
    parts: Sequence[Section[Any]], evidence: Evidence | FindingEvidence, options: Options
) -> dict[str, SectionResult]:
    results: dict[str, SectionResult] = {}
    for done, part in enumerate(parts):
        options.on_event(Work("report", done, len(parts), "sections"))
        options.on_event(Work(f"section {part.name}", 0, 1, ""))
        results[part.name] = part(evidence, options)
        options.on_event(Work(f"section {part.name}", 1, 1, ""))
    options.on_event(Work("report", len(parts), len(parts), "sections"))
    return results


def _need_photos(parts: Sequence[Section[Any]]) -> bool:
    return any(part.name in NEEDS_PHOTOS for part in parts)


def _check_photos(parts: Sequence[Section[Any]], suite: str | None, photos: int | None) -> None:
    """Refuse options of corrupted photos that cannot take effect, before anything is scored."""
    if suite is not None:
        suite_named(suite)
    if photos is not None and photos < 1:
        raise UserError(f"--photos: found {photos}; expected 1 or more")
    given = [name for name, value in (("--suite", suite), ("--photos", photos)) if value is not None]
    if given and not _need_photos(parts):
        raise UserError(f"{' and '.join(given)}: no section of this report corrupts photos; drop it, or add robustness")


def _check_full(parts: Sequence[Section[Any]], columns: Mapping[str, ColumnRole], full: bool, quick: bool) -> None:
    """Refuse `full` where it cannot take effect, before anything is scored."""
    if full and quick:
        raise UserError("--full: it trains networks, and --quick leaves out what takes long; drop one of them")
    if full and (groups.SECTION not in parts or "group" not in columns.values()):
        raise UserError(
            "--full: this report leaves out no groups; expected the section groups, and a column of the manifest with the role "
            "group. Name one in data.columns and train again, or drop --full"
        )


def _check_writable(final: Path) -> None:
    """Raise a DiskError if the report could not be written, before anything is scored."""
    with writing(final), drafted(final, folder=True):
        pass


def _images(evidence: Evidence | FindingEvidence) -> dict[str, int]:
    splits = {"train": evidence.train, "val": evidence.val, "test": evidence.test}
    return {name: len(split) for name, split in splits.items() if split is not None}


def _operating(
    evidence: Evidence | FindingEvidence, card: Card, look: LedgerEntry, options: Options, folder: RunFolder
) -> tuple[OperatingPoints, bytes | None] | None:
    """Return the operating points and their reference; None for a task that does not decide one class for each image."""
    if not isinstance(evidence, Evidence):
        return None
    return operating_points(evidence, card, look.look, options.aims, folder.evaluation)


def _write(result: Assessment, operating: tuple[OperatingPoints, bytes | None] | None) -> None:
    """Write the folder of the report, completely or not at all."""
    final = Path(result.folder)
    sweep(final.parent)
    with drafted(final, folder=True) as draft:
        for section in result.sections.values():
            for figure in section.figures:
                save(figure.draw(_PNG_IN), draft / f"{figure.file}.png")
            for picture in section.pictures:
                picture.image.save(draft / f"{picture.file}.png", optimize=True)
            for name, text in section.files.items():
                write_text(draft / name, text)
        write_text(draft / CARD, model_card(result))
        write_json(draft / REPORT, result.to_json())
        if operating is not None:
            write_operating(draft, *operating)
        write_text(draft / PAGE, page(result))
        replace_dir(draft, final)
