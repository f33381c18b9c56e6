"""The usual way to search: Ray Tune with OptunaSearch and ASHA over torchvision's ImageFolder and a DataLoader.

`nested`  the pattern of Ray's documentation: each trial is a function that builds a TorchTrainer, whose worker trains.
`plain`   the same without the nested trainer: each trial is the function that trains.

The space, its conditions, the learning rates of the stages and the epochs are raytl's own, so that trials are comparable.
The log has one line for each epoch of each trial: the seconds since the start of the command, and the score.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from experiments.bench.tune_setup import METRIC, PARALLEL, Setup

Report = Callable[[dict[str, float]], None]


def search(setup: Setup, nested: bool) -> dict[str, Any]:
    """Run the sweep; return the values of the best trial and the number of trials."""
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    logical = PARALLEL + 1 if nested else PARALLEL  # the functions that hold the trainers need room beside the workers
    ray.init(num_cpus=logical, log_to_driver=False, _temp_dir=setup.ray)
    trainable: Any = tune.with_parameters(_nested if nested else _plain, setup=asdict(setup))
    held = {"CPU": 0.01 if nested else 1}
    tuner = tune.Tuner(
        tune.with_resources(trainable, held),
        tune_config=tune.TuneConfig(
            metric="score",
            mode="max",
            num_samples=setup.trials,
            max_concurrent_trials=PARALLEL,
            search_alg=OptunaSearch(space=partial(_suggest, setup.stages), metric="score", mode="max", seed=setup.seed),
            scheduler=ASHAScheduler(max_t=setup.epochs, grace_period=setup.grace, reduction_factor=setup.reduction),
        ),
        run_config=tune.RunConfig(name="sweep", storage_path=f"{setup.folder}/ray", verbose=0),
    )
    results = tuner.fit()
    best = max(results, key=lambda result: result.metrics_dataframe["score"].max())
    ray.shutdown()
    return {"overrides": best.config, "trials": len(results), "errors": len(results.errors)}


def _suggest(stages: int, trial: Any) -> None:
    """Define raytl's default space, with its conditions, in Optuna's API."""
    depth = trial.suggest_int("transfer.unfreeze", 0, stages)
    if depth > 1:
        trial.suggest_float("transfer.lr_decay", 0.3, 1.0)
    if depth > 0:
        trial.suggest_float("transfer.head_lr_ratio", 1, 100, log=True)
    trial.suggest_categorical("augment.strength", [0, 0.25, 0.5, 0.75, 1])
    trial.suggest_float("optim.lr", 1e-4, 1e-2, log=True)
    trial.suggest_float("optim.weight_decay", 1e-4, 3e-1, log=True)


def _plain(config: dict[str, Any], setup: dict[str, Any]) -> None:
    from ray import tune

    train(config, Setup(**setup), tune.report)


def _nested(config: dict[str, Any], setup: dict[str, Any]) -> None:
    from ray import tune
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    TorchTrainer(
        _worker,
        train_loop_config={"config": config, "setup": setup},
        scaling_config=ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(
            name=f"train-{tune.get_context().get_trial_id()}",
            storage_path=f"{setup['folder']}/ray",
            callbacks=[TuneReportCallback()],
        ),
    ).fit()


def _worker(given: dict[str, Any]) -> None:
    import ray.train

    train(given["config"], Setup(**given["setup"]), ray.train.report)


def train(config: dict[str, Any], setup: Setup, report: Report, evaluate: bool = False) -> float:
    """Fine-tune with `config` and report the validation score after each epoch; return the best score or its test score."""
    import torch
    from torch import nn

    from raytl.models.forward import pick_precision

    torch.manual_seed(setup.seed)
    loaders = _loaders(setup, float(config["augment.strength"]))
    model, optimizer = _model(config, setup, len(loaders["train"].dataset.classes))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, setup.epochs)
    low = pick_precision("auto", torch.device("cpu")) == torch.bfloat16

    def forward(images: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            return model(images.to(memory_format=torch.channels_last)).float()

    best, best_state = -math.inf, {}
    for epoch in range(1, setup.epochs + 1):
        model.train()
        for images, targets in loaders["train"]:
            loss = nn.functional.cross_entropy(forward(images), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        schedule.step()
        value = _score(model, forward, loaders["val"])
        if value > best:
            best = value
            best_state = {name: tensor.clone() for name, tensor in model.state_dict().items()} if evaluate else {}
        _log(setup, epoch, value)
        report({METRIC: value, "score": value, "epoch": epoch})
    if not evaluate:
        return best
    model.load_state_dict(best_state)
    return _score(model, forward, loaders["test"])


def _loaders(setup: Setup, strength: float) -> dict[str, Any]:
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    augmented, plain = _transforms(strength, setup.px)
    return {
        split: DataLoader(
            ImageFolder(str(Path(setup.data, split)), augmented if split == "train" else plain),
            setup.batch,
            shuffle=split == "train",
            num_workers=1,
            persistent_workers=True,
        )
        for split in ("train", "val", "test")
    }


def _model(config: dict[str, Any], setup: Setup, classes: int) -> tuple[Any, Any]:
    """Return the pretrained network with requires_grad set for the trial, and AdamW with its learning rates."""
    import torch

    from raytl.config.schema import ModelConfig, OptimConfig, TransferConfig
    from raytl.models.backbone import build
    from raytl.models.freeze import learning
    from raytl.models.groups import parameter_groups

    backbone = build(ModelConfig(name=setup.model, weights=setup.weights), classes)
    transfer = TransferConfig(**{key.removeprefix("transfer."): v for key, v in config.items() if "transfer." in key})
    learns = learning(backbone, transfer.unfreeze)
    model = backbone.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in learns.names)
    optim = OptimConfig(lr=config["optim.lr"], weight_decay=config["optim.weight_decay"])
    groups = parameter_groups(backbone, transfer, optim, len(learns.stages))
    return model, torch.optim.AdamW([{key: group[key] for key in ("params", "lr", "weight_decay")} for group in groups])


def _score(model: Any, forward: Callable[[Any], Any], loader: Any) -> float:
    """Return the balanced accuracy."""
    import torch

    model.eval()
    hits, counts = torch.zeros(2, len(loader.dataset.classes)).unbind()
    with torch.no_grad():
        for images, targets in loader:
            predicted = forward(images).argmax(1)
            counts += torch.bincount(targets, minlength=len(counts))
            hits += torch.bincount(targets[predicted == targets], minlength=len(counts))
    return float((hits / counts).mean())


def _transforms(strength: float, px: int) -> tuple[Any, Any]:
    """Return torchvision's usual transforms; the strength sets RandAugment's magnitude."""
    from torchvision import transforms as t

    last = [t.ToTensor(), t.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    policy = [t.RandAugment(num_ops=2, magnitude=round(9 * strength))] if strength else []
    augmented = t.Compose([t.RandomResizedCrop(px, (0.35, 1.0)), t.RandomHorizontalFlip(), *policy, *last])
    return augmented, t.Compose([t.Resize(round(px / 0.875)), t.CenterCrop(px), *last])


def _log(setup: Setup, epoch: int, value: float) -> None:
    line = json.dumps({"s": time.time() - setup.began, "epoch": epoch, "score": value})
    with Path(setup.folder, "epochs.jsonl").open("a", encoding="utf-8") as log:
        log.write(line + "\n")
        log.flush()
        os.fsync(log.fileno())
