"""Sentences on what was done to the labels and the domain of a run, for its model card and its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from raytl.assessment.texts import percent
from raytl.config.adapt import AFTER_TRAINING, IN_TRAINING
from raytl.config.auxiliary_rules import ROBUST_LOSSES
from raytl.config.fixmatch import FIXMATCH
from raytl.config.schema import Recipe
from raytl.run import journal
from raytl.run.epochs import EPOCH_FORMAT
from raytl.run.folder import RunFolder
from raytl.run.provenance import PROVENANCE_FORMAT
from raytl.sanitize import redacted
from raytl.score_names import title
from raytl.tasks.score_text import score_text
from raytl.training.objectives.small_loss import LEFT_OUT
from raytl.training.records import SCORE_FORMAT
from raytl.training.run_writer import ADAPTED, BEST_SCORE, FINITE, FRACTION
from raytl.uris import in_bucket


@dataclass(frozen=True)
class MethodFacts:
    """The recipe of a run, and what its files say of its methods: the number of training images that each label method added or
    left out (`changed`), the `corrections` that were applied, `metrics` of the saved network, and the number of images that
    small-loss selection left out of the last epoch."""

    recipe: Recipe
    changed: Mapping[str, int] = field(default_factory=dict)
    corrections: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    last_left_out: float | None = None
    is_counted: bool = True
    """False for a run before raytl counted the images of each label method."""


def method_facts(folder: RunFolder, recipe: Recipe) -> MethodFacts:
    """Return the facts of the run in `folder`; files that it lacks say nothing.

    Raises:
        RunError: a file is damaged.
    """
    record = PROVENANCE_FORMAT.load(folder.provenance) if folder.provenance.exists() else None
    score = folder.best / BEST_SCORE
    epochs = journal.read(folder.metrics, EPOCH_FORMAT) if folder.metrics.exists() else []
    return MethodFacts(
        recipe,
        record.label_methods if record else {},
        record.corrections if record else {},
        SCORE_FORMAT.load(score).metrics if score.exists() else {},
        epochs[-1].get(LEFT_OUT) if epochs else None,
        record is None or not record.label_changes or bool(record.label_methods),
    )


def method_sentences(facts: MethodFacts) -> tuple[str, ...]:
    """Return what changed labels, images and domain, in the order in which it happened; nothing for an ordinary run."""
    tuning = dict(_in_training(facts))
    if tuning and facts.metrics.get(FRACTION) == 0:
        replaced = f"The model is the pretrained network with a solved head: {', '.join(tuning)} changed the fine-tuning, which was not kept."
        return (*_labels(facts), replaced, *_after_training(facts))
    return (*_labels(facts), *tuning.values(), *_after_training(facts))


def _labels(facts: MethodFacts) -> Iterator[str]:
    labels, few, adapt = facts.recipe.labels, facts.recipe.few.method, facts.recipe.adapt.method
    if labels.columns:
        columns = ", ".join(labels.columns)
        yield f"Training images without a label of their own have one that combines those of the columns {columns}."
    relabelled, left_out = (facts.corrections.get(name, 0) for name in ("relabelled", "left_out"))
    if relabelled or left_out:
        done = [f"corrected {_images(relabelled, 'label')}"] * bool(relabelled)
        done += [f"left out {_images(left_out)}"] * bool(left_out)
        yield f"People {' and '.join(done)} (labels.relabel)."
    for by, count in facts.changed.items():
        if by.startswith("labels.noise"):
            yield f"{_images(count)} with doubtful labels {_were(count)} left out of training ({by})."
        else:
            yield f"{_images(count)} {_were(count)} added to training with labels that a method gave them, not people ({by})."
    others = {"few.method": ("none", FIXMATCH), "adapt.method": ("none", *IN_TRAINING, *AFTER_TRAINING)}
    for key, method in (("few.method", few), ("adapt.method", adapt)):
        if facts.is_counted and method not in others[key] and not any(by.startswith(key) for by in facts.changed):
            yield f"{key}: {method} added no images."


def _in_training(facts: MethodFacts) -> Iterator[tuple[str, str]]:
    """Yield what changed the steps of training, by the key of the experiment."""
    recipe, target = facts.recipe, _place(facts.recipe.adapt.target)
    adapt, synthetic, auxiliary, loss = recipe.adapt, recipe.data.synthetic, recipe.auxiliary, recipe.train.loss
    if recipe.warmup.method != "none":
        yield (
            "warmup.method",
            f"The stages that learn were trained without labels before ({recipe.warmup.method}, {recipe.warmup.epochs} epochs).",
        )
    if recipe.few.method == FIXMATCH:
        place = _place(recipe.data.unlabelled)
        yield (
            "few.method",
            f"Training also learned from images without labels, {place}, by its own answers (few.method: fixmatch).",
        )
    if adapt.method in IN_TRAINING:
        yield (
            "adapt.method",
            f"Training drew the features of images without labels, {target}, to those of the labelled images (adapt.method: {adapt.method}).",
        )
    if adapt.style.probability:
        part = percent(adapt.style.probability)
        yield (
            "adapt.style",
            f"{part} of the labelled images of each step had the style of images of {target} (adapt.style).",
        )
    if synthetic.uri is not None and synthetic.share:
        part = percent(synthetic.share)
        yield (
            "data.synthetic",
            f"Made images with labels, {_place(synthetic.uri)}, were {part} of each batch; none validates or tests.",
        )
    if heads := [*(auxiliary.columns if auxiliary.weight else ()), *(["quarter turns"] if auxiliary.rotation else [])]:
        yield (
            "auxiliary",
            f"Auxiliary heads, which are not part of the model, learned {', '.join(heads)} beside the labels.",
        )
    if loss in ROBUST_LOSSES:
        count = facts.last_left_out
        left_out = "" if count is None else f"; {_images(int(count))} did not count in the last epoch"
        yield "train.loss", f"The loss expects wrong labels (train.loss: {loss}{left_out})."


def _after_training(facts: MethodFacts) -> Iterator[str]:
    adapt, applied = facts.recipe.adapt, facts.metrics.get(ADAPTED)
    if adapt.method not in AFTER_TRAINING or applied is None:
        return
    target = _place(adapt.target)
    if facts.metrics.get(FINITE) == 0:
        yield f"adapt.method: {adapt.method} with images of {target} was not kept, as its weights did not stay finite."
        return
    name = facts.recipe.train.metric.removeprefix("val/")
    scores = [facts.metrics.get(f"adaptation/{each}_{name}") for each in ("without", "with")]
    texts = [score_text(name, each) for each in scores if each is not None]
    both = f": {title(name)} on validation is {texts[0]} without and {texts[1]} with it" if len(texts) == 2 else ""
    if applied:
        yield f"After training the network was adapted to images without labels, {target} (adapt.method: {adapt.method}){both}."
    else:
        yield f"adapt.method: {adapt.method} with images of {target} was not kept, as it is not better beyond chance{both}."


def _images(count: int, unit: str = "image") -> str:
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _place(uri: str | None) -> str:
    """Return a source for readers elsewhere: a URI without secrets, and of a path on a machine its last part alone."""
    if uri is None:
        return "a source that is not named"
    masked = redacted(uri)
    return masked if in_bucket(uri) else PurePath(masked).name or masked
