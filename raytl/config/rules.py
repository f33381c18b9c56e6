"""Rules across keys: settings that contradict each other, and settings that cannot take effect.

Pure functions of the experiment. `build` takes into account whether a key came from the file or from an override.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from raytl.config import channel_rules, credentials, space
from raytl.config.adapt import AFTER_TRAINING, TENT
from raytl.config.auxiliary_rules import idle_beside, image_conflicts
from raytl.config.conflict import Conflict, Idle
from raytl.config.label_rules import LABEL_SOURCES, label_columns, label_conflicts
from raytl.config.problems import near_miss
from raytl.config.schema import Experiment, Recipe
from raytl.config.source import dotted
from raytl.config.source_rules import STYLE, idle_sources, source_conflicts
from raytl.config.warmup_rules import idle_warmup, warmup_conflicts
from raytl.uris import has_scheme, in_bucket, is_table_name


def conflicts(experiment: Experiment) -> list[Conflict]:
    """Return every contradiction in the experiment."""
    rules = (_secrets, _stream, _weights, _batches, _machines, _search, _retrain)
    methods = (label_conflicts, source_conflicts, warmup_conflicts)
    across = [conflict for rule in (*rules, *methods) for conflict in rule(experiment)]
    return [*conflicts_in(experiment), *across]


def conflicts_in(recipe: Recipe) -> list[Conflict]:
    """Return every contradiction that a recipe alone shows, without looking at any file."""
    rules = (_splits, _zip, _channels, _stages, _schedule, _losses, image_conflicts)
    return [conflict for rule in rules for conflict in rule(recipe)]


def idle(experiment: Experiment) -> list[Idle]:
    """Return every key that cannot take effect, whether it was given or not."""
    searched = experiment.search.space or {}
    result = [one for one in idle_in(experiment) if not _is_drawn(one, searched)]
    if experiment.data.cache == "off":
        advice = "set data.cache to auto or on, or remove it"
        result.append(Idle("data.cache_limit_gb", "data.cache", "data.cache is off", advice))
    return result


def _is_drawn(one: Idle, searched: Mapping[str, Any]) -> bool:
    """Return whether a trial may draw a value with which the key takes effect."""
    return any(cause in searched for cause in {*one.causes} & {*LABEL_SOURCES, STYLE})


def idle_in(recipe: Recipe) -> list[Idle]:
    """Return every key of a recipe that cannot take effect, whether it was given or not."""
    transfer, optim, train = recipe.transfer, recipe.optim, recipe.train
    result: list[Idle] = []

    def add(cause: str, because: str, advice: str, *keys: str) -> None:
        result.extend(Idle(key, cause, because, advice) for key in keys)

    if transfer.unfreeze == 0:
        no_stage = ("transfer.unfreeze", "transfer.unfreeze is 0, so no stage is trained")
        add(*no_stage, "set transfer.unfreeze to 1 or more, or remove this key", "transfer.lr_decay")
        add(*no_stage, "the head's rate is optim.lr; remove this key", "transfer.head_lr_ratio")
        if transfer.gradual:
            add(*no_stage, "gradual needs transfer.unfreeze of at least 1, or all", "transfer.gradual")
    if recipe.few.method == "none":
        advice = "set few.method to propagate, pseudo or auto, or remove it"
        add("few.method", "few.method is none", advice, "few.fraction", "few.min_confidence")
    if not transfer.gradual:
        add("transfer.gradual", "transfer.gradual is false", "set transfer.gradual to true", "transfer.gradual_every")
    for (key, cause), because, advice in channel_rules.without_effect(recipe):
        add(cause, because, advice, key)
    if train.loss != "focal":
        add("train.loss", f"train.loss is {train.loss}", "set train.loss to focal, or remove it", "train.focal_gamma")
    if train.loss != "gce":
        add("train.loss", f"train.loss is {train.loss}", "set train.loss to gce, or remove it", "train.gce_q")
    if optim.schedule != "restarts":
        because = f"optim.schedule is {optim.schedule}"
        add("optim.schedule", because, "set optim.schedule to restarts, or remove it", "optim.restart_every")
    if optim.schedule == "constant":
        add(
            "optim.schedule",
            "optim.schedule is constant",
            "choose another schedule, or remove it",
            "optim.min_lr_ratio",
        )
    result.extend(_idle_of_adapt(recipe))
    result.extend(idle_sources(recipe))
    result.extend(idle_warmup(recipe))
    result.extend(idle_beside(recipe))
    return result


def _idle_of_adapt(recipe: Recipe) -> Iterator[Idle]:
    """Yield the keys of the section `adapt` that its method does not use."""
    method, style = recipe.adapt.method, recipe.adapt.style.probability
    if method == "none" and style == 0 and recipe.warmup.method == "none":
        because = f"adapt.method and warmup.method are none, and {STYLE} is 0"
        advice = "remove adapt.target, or set adapt.method to auto"
        yield Idle("adapt.target", "adapt.method", because, advice, ("warmup.method", STYLE))
    advice = "set adapt.method to auto, or remove this key"
    if method not in ("adabn_centroids", "auto", *AFTER_TRAINING):
        yield Idle("adapt.alpha", "adapt.method", f"adapt.method is {method}", advice)
    if method != TENT:
        advice = "set adapt.method to tent, or remove this key"
        for name in ("lr", "passes"):
            yield Idle(f"adapt.tent.{name}", "adapt.method", f"adapt.method is {method}", advice)
    if style == 0:
        yield Idle("adapt.style.beta", STYLE, f"{STYLE} is 0", f"set {STYLE} to 0.5, or remove this key")


def _secrets(experiment: Experiment) -> Iterator[Conflict]:
    """Report secrets: the resolved experiment is kept in run folders and sent with jobs."""
    for path, fault in credentials.in_values(experiment.model_dump()):
        keys = tuple(dotted(path[:length]) for length in range(len(path), 0, -1))
        yield Conflict(keys, fault, credentials.advice(keys[0]))


def _splits(recipe: Recipe) -> Iterator[Conflict]:
    data = recipe.data
    if data.val_fraction + data.test_fraction >= 1:
        yield Conflict(
            ("data.test_fraction", "data.val_fraction"),
            f"found {data.test_fraction:g}, and data.val_fraction is {data.val_fraction:g}: together "
            f"{data.val_fraction + data.test_fraction:g}, expected less than 1",
            "leave images to train on: 0.15 each is common",
        )
    yield from label_columns(recipe)
    if data.columns and not is_table_name(data.uri):
        yield Conflict(
            ("data.columns", "data.uri"),
            f"found {', '.join(data.columns)}, and data.uri is {data.uri!r}, which has no columns; expected a .csv, .tsv, "
            ".parquet or .jsonl manifest",
            "list the images in such a table, or remove data.columns",
        )


def _stream(experiment: Experiment) -> Iterator[Conflict]:
    uri = experiment.data.uri
    is_local_table = not has_scheme(uri) and is_table_name(uri)
    if experiment.data.stream and not in_bucket(uri) and not is_local_table:
        yield Conflict(
            ("data.stream", "data.uri"),
            f"found true, and data.uri is {uri!r}, which is not in a bucket: there is nothing to stream from",
            "set it to false, or name an s3:// URI",
        )


def _zip(recipe: Recipe) -> Iterator[Conflict]:
    encoding, uri = recipe.data.zip_encoding, recipe.data.uri
    if encoding is None:
        return
    try:
        b"a".decode(encoding)
    except (LookupError, ValueError):
        near = near_miss(encoding, ("utf-8", "cp932", "gbk", "big5", "cp437", "cp850", "cp866", "cp1251", "cp1252"))
        yield Conflict(
            ("data.zip_encoding",),
            f"found {encoding!r}, which is not a text encoding that Python knows; expected one such as cp932, gbk or cp1252",
            f"did you mean {near!r}?" if near else "leave it out if the names do not need it",
        )
    if not uri.lower().endswith(".zip"):
        yield Conflict(
            ("data.zip_encoding", "data.uri"),
            f"found {encoding!r}, and data.uri is {uri!r}, which is not a .zip: there are no names to decode",
            "leave it out, or name a .zip as data.uri",
        )


def _weights(experiment: Experiment) -> Iterator[Conflict]:
    weights = experiment.model.weights
    word = (
        weights not in ("pretrained", "none")
        and not weights.startswith("models:")
        and "/" not in weights
        and not Path(weights).suffix
    )
    if word and not Path(weights).exists():
        near = near_miss(weights, ("pretrained", "none"))
        yield Conflict(
            ("model.weights",),
            f"found {weights!r}; expected pretrained, none, a .safetensors or .pth file, or a run folder",
            f"did you mean {near!r}?" if near else "no file or folder of this name exists here; is the path complete?",
        )
    if experiment.transfer.head_start == "weights" and weights in ("pretrained", "none"):
        yield Conflict(
            ("transfer.head_start", "model.weights"),
            f"found weights, and model.weights is {weights}, which has no head for these classes",
            "set model.weights to a raytl run or a version of a model, or transfer.head_start to zero or solved",
        )


def _channels(recipe: Recipe) -> Iterator[Conflict]:
    for keys, fault, advice in channel_rules.contradictions(recipe):
        yield Conflict(keys, fault, advice)


def _stages(recipe: Recipe) -> Iterator[Conflict]:
    transfer, epochs = recipe.transfer, recipe.train.epochs
    if transfer.unfreeze == 0:
        return
    if transfer.head_first >= epochs:
        yield Conflict(
            ("transfer.head_first", "train.epochs"),
            f"found {transfer.head_first} epochs, and train.epochs is {epochs}: the stages would never be unfrozen",
            f"set it below {epochs}, train for longer, or set transfer.unfreeze to 0 to train the head only",
            {"transfer.head_first": epochs - 1, "train.epochs": transfer.head_first + 1},
        )
    elif transfer.gradual and transfer.unfreeze != "all":
        last = transfer.head_first + (transfer.unfreeze - 1) * transfer.gradual_every
        if last >= epochs:
            yield Conflict(
                (
                    "transfer.gradual",
                    "transfer.unfreeze",
                    "transfer.gradual_every",
                    "transfer.head_first",
                    "train.epochs",
                ),
                f"stage {transfer.unfreeze} would be unfrozen after {last} epochs, and train.epochs is {epochs}",
                "unfreeze fewer stages (transfer.unfreeze), unfreeze them faster (transfer.gradual_every), or train for longer",
            )


def _schedule(recipe: Recipe) -> Iterator[Conflict]:
    warmup, epochs = recipe.optim.warmup, recipe.train.epochs
    if warmup >= epochs:
        yield Conflict(
            ("optim.warmup", "train.epochs"),
            f"found {warmup:g} epochs, and train.epochs is {epochs}: training would end during the warm-up",
            f"set it below {epochs}; 0.5 is common",
            {"optim.warmup": epochs / 10, "train.epochs": int(warmup) + 1},
        )


def _batches(experiment: Experiment) -> Iterator[Conflict]:
    batch, accumulate, workers = (
        experiment.train.batch_size,
        experiment.train.accumulate,
        experiment.compute.max_workers,
    )
    if accumulate > batch:
        yield Conflict(
            ("train.accumulate", "train.batch_size"),
            f"found {accumulate}, and train.batch_size is {batch}: a micro-batch would be empty",
            "train.batch_size is the global batch, which train.accumulate divides; lower one or raise the other",
            {"train.batch_size": accumulate * workers},
        )
    elif batch < workers:
        yield Conflict(
            ("train.batch_size", "compute.workers"),
            f"found {batch}, and compute.workers is {workers}: a worker would get no image",
            f"train.batch_size is over all workers; set it to {workers} or more",
            {"train.batch_size": accumulate * workers},
        )
    elif batch < workers * accumulate:
        yield Conflict(
            ("train.accumulate", "train.batch_size", "compute.workers"),
            f"found {accumulate}; {workers} workers of {accumulate} micro-batches need a train.batch_size of "
            f"{workers * accumulate}, and it is {batch}",
            "lower train.accumulate, or raise train.batch_size",
            {"train.batch_size": accumulate * workers},
        )


def _losses(recipe: Recipe) -> Iterator[Conflict]:
    train = recipe.train
    for key in ("mixup", "cutmix"):
        if train.loss == "focal" and getattr(recipe.augment, key) > 0:
            yield Conflict(
                (f"augment.{key}", "train.loss"),
                f"found {getattr(recipe.augment, key):g}, and train.loss is focal, which needs unmixed labels",
                f"set augment.{key} to 0, or train.loss to cross_entropy",
            )
    if train.class_weights != "none" and train.sampler == "balanced":
        yield Conflict(
            ("train.class_weights", "train.sampler"),
            "given, and train.sampler is balanced: rare classes would be weighted twice",
            "keep one of the two",
        )


def _machines(experiment: Experiment) -> Iterator[Conflict]:
    compute, precision = experiment.compute, experiment.train.precision
    if compute.cluster == "none" and compute.max_workers > 1:
        yield Conflict(
            ("compute.workers", "compute.cluster"),
            f"found {compute.max_workers}, and compute.cluster is none: a single process is 1 worker",
            "set compute.cluster to local (Ray on this machine), or compute.workers to 1",
        )
    if compute.min_workers > compute.max_workers:
        yield Conflict(
            ("compute.workers",),
            f"found a min of {compute.min_workers} and a max of {compute.max_workers}",
            f"swap them: {{min: {compute.max_workers}, max: {compute.min_workers}}}",
        )
    if precision == "fp16" and compute.device == "cpu":
        yield Conflict(
            ("train.precision", "compute.device"),
            "found fp16, and compute.device is cpu, where fp16 does not train",
            "set it to auto, bf16 or fp32",
        )
    if _names_no_store(experiment.storage.uri):
        yield Conflict(
            ("storage.uri",),
            f"found {experiment.storage.uri!r}; expected a folder or an s3:// prefix for the runs",
            "name a folder that all workers can access, or s3://bucket/prefix",
        )


def _search(experiment: Experiment) -> Iterator[Conflict]:
    search = experiment.search
    _, problems = space.read(experiment)
    for problem in problems:
        yield Conflict(
            ("search.space",), problem, "write {int: [low, high]}, {float: ...}, {log: ...} or {choice: [...]}"
        )
    metrics = search.metrics
    if len(set(metrics)) < len(metrics):
        yield Conflict(("search.metric",), f"found {', '.join(metrics)}: the same objective twice", "list each once")
    if not metrics[0].startswith("val/"):
        yield Conflict(
            ("search.metric",),
            f"found {metrics[0]} first, and the first objective decides the winner",
            "put a val/ metric first and the costs after it",
        )
    if len(metrics) > 1 and search.scheduler != "none":
        yield Conflict(
            ("search.scheduler", "search.metric"),
            f"found {search.scheduler}, and search.metric names {len(metrics)} objectives: trials cannot be ranked to stop them early",
            "set search.scheduler to none, or keep one objective",
        )
    if search.folds and experiment.compute.max_workers > 1:
        yield Conflict(
            ("search.folds", "compute.workers"),
            f"found {search.folds} folds, and trials of up to {experiment.compute.max_workers} workers: the networks of the folds share a worker",
            "set compute.workers to 1, or search.folds to null",
        )
    if search.folds and search.soup != "off":
        yield Conflict(
            ("search.folds", "search.soup"),
            f"found {search.folds} folds, and search.soup {search.soup}: networks of different folds have no common validation images",
            "set search.soup to off, or search.folds to null",
        )
    budget, stops = search.budget, search.scheduler != "none"
    if stops and budget.max_epochs is not None and search.grace_epochs > budget.max_epochs:
        yield Conflict(
            ("search.grace_epochs", "search.budget.max_epochs", "search.scheduler"),
            f"found {search.grace_epochs}, and search.budget.max_epochs is {budget.max_epochs}: no trial would be stopped early",
            "lower search.grace_epochs, or set search.scheduler to none",
            {"search.grace_epochs": budget.max_epochs},
        )


def _retrain(experiment: Experiment) -> Iterator[Conflict]:
    retrain, when = experiment.retrain, experiment.retrain.when
    if when.new_samples is when.or_new_class is when.or_drift is when.or_every is None and not when.or_alarm:
        yield Conflict(
            ("retrain.when",),
            "found null for new_samples, or_new_class, or_drift and or_every, and no or_alarm: nothing would ever trigger training",
            "give one of them",
        )
    if when.or_every is not None and when.at_most_every is not None and when.or_every < when.at_most_every:
        yield Conflict(
            ("retrain.when.or_every", "retrain.when.at_most_every"),
            f"found {when.or_every / 86400:g} d, and retrain.when.at_most_every is {when.at_most_every / 86400:g} d",
            "give it a longer time than at_most_every, or remove one",
        )
    if when.or_alarm and retrain.feedback is None:
        yield Conflict(
            ("retrain.when.or_alarm", "retrain.feedback"),
            "found true, and retrain.feedback is not set, so there is no monitor",
            "set retrain.feedback to the prefix of `raytl serve --feedback`, or remove it",
        )
    if None not in (retrain.feedback, experiment.data.feedback) and retrain.feedback != experiment.data.feedback:
        yield Conflict(
            ("retrain.feedback", "data.feedback"),
            f"found {retrain.feedback!r}, and data.feedback is {experiment.data.feedback!r}",
            "remove data.feedback; a tick sets it",
        )
    for key, uri in (("retrain.feedback", retrain.feedback), ("data.feedback", experiment.data.feedback)):
        if uri is not None and _names_no_store(uri):
            yield Conflict(
                (key,), f"found {uri!r}; expected a folder or an s3:// prefix of feedback", "name s3://bucket/feedback"
            )
    if retrain.registry is not None and _names_no_store(retrain.registry):
        yield Conflict(
            ("retrain.registry",),
            f"found {retrain.registry!r}; expected a folder or an s3:// prefix for the versions",
            "name s3://bucket/models/<name>, or a folder",
        )


def _names_no_store(uri: str) -> bool:
    return has_scheme(uri) and not uri.startswith(("file://", "s3://", "memory://"))
