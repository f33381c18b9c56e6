"""The plan of a run as tables: data, stages with learning rates, preprocessing and steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from raytl.cli.numbers import count, plural, rate, size
from raytl.cli.tables import MOST_ROWS, facts, table, titled
from raytl.config.dump import yaml_value
from raytl.config.places import run_uri

if TYPE_CHECKING:
    from raytl.config.choice import Choice
    from raytl.config.schema import Experiment
    from raytl.data.bit_depth import SetDepth
    from raytl.data.transforms import Preprocess
    from raytl.training.plan import Plan

_LISTED = 5


def plan_tables(plan: Plan, command: str) -> list[RenderableType]:
    """Return the plan of a run; `command` is the command that runs it."""
    notes: list[RenderableType] = [Text(line) for line in plan.notes]
    notes += [Text(f"warning: {line}", style="yellow") for line in plan.warnings]
    if plan.dataset.skipped:
        lines = [f"  {bad}" for bad in plan.dataset.skipped[:10]]
        notes.append(
            Text("\n".join([f"{plural(len(plan.dataset.skipped), 'file')} left out:", *lines]), style="yellow")
        )
    return [
        data_table(plan.counts, plan.experiment.data.uri, plan.dataset.splits.images),
        stage_table(plan),
        *([recipe_table(plan.recipe)] if plan.recipe else []),
        facts(plan_facts(plan)),
        *notes,
        *_to_fetch(plan),
        Text.assemble(("no problems found", "green"), f"; next: {command}"),
    ]


def _to_fetch(plan: Plan) -> list[RenderableType]:
    """Return the objects to download from the bucket."""
    wanted = plan.dataset.to_fetch
    if not wanted:
        return []
    rows = table(("to read" if plan.experiment.data.stream else "to download", "size"), right_aligned=("size",))
    for uri, info in list(wanted.items())[:_LISTED]:
        rows.add_row(Text(uri), size(info.size))
    if len(wanted) > _LISTED:
        rows.add_row(f"… {len(wanted) - _LISTED:,} more", "")
    rows.add_section()
    rows.add_row(plural(len(wanted), "file"), size(sum(info.size for info in wanted.values())))
    pin = plan.experiment.data.snapshot
    later = f" or compared with data.snapshot {pin}" if pin else ""
    return [rows, Text(f"images that are not on this node were not checked{later} yet", style="yellow")]


def data_table(counts: Mapping[str, Mapping[str, int]], uri: str, images: Mapping[str, int] | None = None) -> Group:
    """Return the images by class and split; of many classes the largest and the smallest. Of the test split, only the total.

    `images` are the totals by split; without them, an image has one class.
    """
    train, val = counts.get("train", {}), counts.get("val", {})
    rows = table(("class", "train", "val", "test"), right_aligned=("train", "val", "test"))
    names = sorted({*train, *val})
    by_size = sorted(names, key=lambda name: (-train.get(name, 0), name))
    listed = names if len(names) <= MOST_ROWS else by_size[: MOST_ROWS // 2]
    for name in listed:
        rows.add_row(Text(name), f"{train.get(name, 0):,}", f"{val.get(name, 0):,}", "")
    if len(listed) < len(names):
        rows.add_row(f"… {len(names) - len(listed) - 5} more", "", "", "")
        for name in by_size[-5:]:
            rows.add_row(Text(name), f"{train.get(name, 0):,}", f"{val.get(name, 0):,}", "")
    rows.add_section()
    images = images or {split: sum(by_class.values()) for split, by_class in counts.items()}
    totals = [f"{images.get(split, 0):,}" for split in ("train", "val", "test")]
    rows.add_row(plural(len(names), "class").replace("classs", "classes"), *totals[:2], f"{totals[2]} locked")
    return titled(f"data: {uri}", rows)


def stage_table(plan: Plan) -> Group:
    """Return each part of the network from the top down: its size, the first epoch it is trained in, and its learning rate."""
    learn = f"{count(plan.trainable)} of {count(plan.total)} parameters trainable"
    rows = table(("part", "parameters", "trained", "rate"), right_aligned=("parameters", "rate"))
    for place, stage in enumerate(reversed(plan.stages)):
        frozen = stage.rate is None
        epoch = 1 + next((phase.first for phase in plan.timeline if phase.depth >= place), 0)
        rows.add_row(
            Text(stage.name),
            f"{stage.parameters:,}",
            "frozen" if frozen else f"from epoch {epoch}",
            "" if stage.rate is None else rate(stage.rate),
            style="dim" if frozen else "",
        )
    return titled(f"model: {plan.experiment.model.name}, {learn}", rows)


def recipe_table(choices: Sequence[Choice]) -> Group:
    """Return what `recipe: auto` chose, with the reason of each choice."""
    rows = table(("key", "value", "why"))
    for choice in choices:
        rows.add_row(Text(choice.key), Text(yaml_value(choice.value)), Text(choice.why))
    return titled("recipe: auto, chosen from the data; any key that you set wins", rows)


def plan_facts(plan: Plan) -> list[tuple[str, str]]:
    """Return the facts that take one line each."""
    experiment, train = plan.experiment, plan.experiment.train
    stop = (
        f"; stops early after {train.early_stop} epochs without a better {train.metric}"
        if 0 < train.early_stop < train.epochs
        else ""
    )
    workers = plural(experiment.compute.max_workers, "worker")
    if experiment.compute.min_workers < experiment.compute.max_workers:
        workers = f"{experiment.compute.min_workers} to {workers}"
    return [
        ("snapshot", plan.dataset.snapshot or "known after the download"),
        ("weights", f"{experiment.model.weights} ({plan.weights_digest[:12]})"),
        ("input", input_line(plan.preprocess)),
        *depth_facts(plan.dataset.depth),
        ("augment", augment_line(experiment)),
        ("stages", timeline_line(plan)),
        (
            "steps",
            f"{plural(train.epochs, 'epoch')} × {plan.steps_per_epoch} of {train.batch_size} images = {plan.steps:,}{stop}",
        ),
        ("optimizer", optimizer_line(experiment)),
        *score_facts(experiment),
        ("compute", f"{workers} on {plan.device}, {plan.precision}"),
        ("run", run_uri(experiment)),
    ]


def score_facts(experiment: Experiment) -> list[tuple[str, str]]:
    """Return which objects are reported; nothing for a task without objects."""
    from raytl.tasks.registry import task_named

    if task_named(experiment.task).limits is None:
        return []
    score = experiment.predict.score
    chosen = "the score with the highest F1 on validation" if score == "auto" else f"a score of {score:g}"
    return [("objects", f"reported from {chosen} (predict.score: {score})")]


def input_line(preprocess: Preprocess) -> str:
    """Return the pretrained model's own preprocessing."""
    mean, std = (", ".join(f"{value:.3g}" for value in part) for part in (preprocess.mean, preprocess.std))
    return f"{_resize_line(preprocess)}, mean ({mean}), std ({std})"


def _resize_line(preprocess: Preprocess) -> str:
    if preprocess.frame is not None:
        width, height = preprocess.frame
        return f"fitted into {width} x {height} px ({preprocess.interpolation})"
    side = "shorter side" if preprocess.crop_mode == "center" else "width and height"
    crop = f", center crop to {preprocess.image_px} px" if preprocess.image_px != preprocess.resize_px else ""
    return f"{side} to {preprocess.resize_px} px ({preprocess.interpolation}){crop}"


def depth_facts(depth: SetDepth) -> list[tuple[str, str]]:
    """Return how values become 8 bits, and why, if there are images that need it."""
    scaling = depth.depth
    if scaling.mean:
        ranges = ", ".join(f"{low:g} to {high:g}" for low, high in dict.fromkeys(scaling.ranges))
        return [("channels", depth.reason), ("value range", ranges)]
    lines = [("bit depth", f"{scaling.bits} ({depth.reason})")] if depth.reason else []
    lines += [("value range", f"{low:g} to {high:g}, of images of floats") for low, high in scaling.ranges]
    return lines + ([] if scaling.window is None else [("window", "center {:g}, width {:g}".format(*scaling.window))])


def augment_line(experiment: Experiment) -> str:
    """Return the augmentation strength and the transforms that are on."""
    augment = experiment.augment
    switches = ("crop", "hflip", "vflip", "rotate90", "rotation", "color", "blur")
    on = [name for name in switches if getattr(augment, name)]
    amounts = [f"{name} {value:g}" for name in ("erasing", "mixup", "cutmix") if (value := getattr(augment, name))]
    return f"strength {augment.strength:g}: {', '.join([*on, *amounts]) or 'nothing'}"


def optimizer_line(experiment: Experiment) -> str:
    """Return the optimizer, its schedule and the changes to the loss."""
    optim, train = experiment.optim, experiment.train
    warmup = f" after {optim.warmup:g} epochs of warm-up" if optim.warmup else ""
    extras = [
        train.loss.replace("_", "-"),
        *([f"label smoothing {train.label_smoothing:g}"] if train.label_smoothing else []),
        *(["class weights"] if train.class_weights != "none" else []),
        *(["balanced sampling"] if train.sampler == "balanced" else []),
        *([f"EMA {optim.ema:g}"] if optim.ema else []),
    ]
    return f"{optim.name}, {optim.schedule}{warmup}, weight decay {optim.weight_decay:g}; {', '.join(extras)}"


def timeline_line(plan: Plan) -> str:
    """Return the parts that are trained by epoch: `epoch 1: head, epochs 2–12: head + 2`."""
    parts = []
    for stage in plan.timeline:
        first, last = stage.first + 1, stage.end
        parts.append(f"epoch {first}: {stage.name}" if first == last else f"epochs {first}–{last}: {stage.name}")
    return ", ".join(parts)
