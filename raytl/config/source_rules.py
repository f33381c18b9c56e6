"""Rules of steps that take several sources of images (few.method: fixmatch, adapt.method: coral, mmd or dann, data.synthetic),
of adapt.style, and of methods after training."""

from __future__ import annotations

from collections.abc import Iterator

from raytl.config import space
from raytl.config.adapt import AFTER_TRAINING, IN_TRAINING
from raytl.config.conflict import Conflict, Idle
from raytl.config.fixmatch import FIXMATCH
from raytl.config.schema import Experiment, Recipe

STYLE = "adapt.style.probability"


def source_conflicts(experiment: Experiment) -> Iterator[Conflict]:
    """Yield what makes such a step impossible."""
    transfer, train = experiment.transfer, experiment.train
    for key, method in _methods(experiment):
        if train.compile and not _is_drawn(experiment, key, method, "train.compile"):
            yield Conflict(
                ("train.compile", key, "search.space"),
                f"found true, and {key} is {method}: a step of several sources is not compiled",
                f"set train.compile to false, or leave {method} out of {key}",
            )
        is_frozen = transfer.unfreeze == 0 and not _is_drawn(experiment, key, method, "transfer.unfreeze")
        if key == "adapt.method" and is_frozen:
            yield Conflict(
                (key, "transfer.unfreeze", "search.space"),
                f"found {method}, and transfer.unfreeze is 0: no stage is trained, so its loss moves nothing",
                "set transfer.unfreeze to 1 or more, or adapt.method to adabn, centroids or none",
            )
    yield from _domain_conflicts(experiment)
    count = round(train.batch_size * experiment.data.synthetic.share)
    if (
        experiment.data.synthetic.uri is not None
        and experiment.data.synthetic.share
        and not 0 < count < train.batch_size
    ):
        yield Conflict(
            ("data.synthetic.share", "train.batch_size"),
            f"found {experiment.data.synthetic.share:g}, which is {count} images of a train.batch_size of {train.batch_size}; "
            "expected at least one made and one real image",
            "choose another share, or larger batches",
        )


def _domain_conflicts(experiment: Experiment) -> Iterator[Conflict]:
    """Yield what makes a style, or a method after training, impossible."""
    searched = {each.key: each for each in space.read(experiment)[0].dimensions}
    probability, target = experiment.adapt.style.probability, experiment.adapt.target
    if target is None and (probability > 0 or STYLE in searched):
        yield Conflict(
            (STYLE, "adapt.target", "search.space"),
            f"found {f'{probability:g}' if probability > 0 else searched[STYLE].text}, and adapt.target is null: there are no "
            "images whose style to take",
            f"name a folder or an s3:// prefix of images as adapt.target, or set {STYLE} to 0",
        )
    drawn = searched["adapt.method"].choices if "adapt.method" in searched else ()
    if after := [method for method in drawn if method in AFTER_TRAINING]:
        yield Conflict(
            ("search.space", "adapt.method"),
            f"found {' and '.join(after)} among the choices of adapt.method: a trial is scored before a method after training",
            f"leave out {' and '.join(after)}; with adapt.method: {after[0]} outside the space, the winner's refit is adapted",
        )


def idle_sources(recipe: Recipe) -> Iterator[Idle]:
    """Yield the keys of such steps that no method uses."""
    if recipe.data.synthetic.uri is None:
        because, advice = "data.synthetic.uri is not set, so there are no made images", "set data.synthetic.uri"
        yield Idle("data.synthetic.share", "data.synthetic.uri", because, f"{advice}, or remove this key")
    few, adapt = recipe.few.method, recipe.adapt.method
    if few != FIXMATCH:
        for name in ("ratio", "threshold", "weight"):
            advice = "set few.method to fixmatch, or remove this key"
            yield Idle(f"few.fixmatch.{name}", "few.method", f"few.method is {few}", advice)
    if adapt not in IN_TRAINING:
        advice = "set adapt.method to coral, mmd or dann, or remove this key"
        yield Idle("adapt.weight", "adapt.method", f"adapt.method is {adapt}", advice)


def _methods(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Yield the key and the value of each method that adds sources to a step, of the experiment or a trial of it."""
    for key, own, methods in (
        ("few.method", experiment.few.method, (FIXMATCH,)),
        ("adapt.method", experiment.adapt.method, IN_TRAINING),
    ):
        drawn = [
            own,
            *(choice for each in space.read(experiment)[0].dimensions if each.key == key for choice in each.choices),
        ]
        yield from ((key, method) for method in dict.fromkeys(drawn) if method in methods)


def _is_drawn(experiment: Experiment, key: str, method: str, other: str) -> bool:
    """Return whether trials draw both `method` and `other`: `check_corners` of a sweep knows which of them go together."""
    section, _, name = key.partition(".")
    return getattr(getattr(experiment, section), name) != method and other in (experiment.search.space or {})
