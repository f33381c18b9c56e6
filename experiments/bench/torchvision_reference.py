"""Train torchvision's own detectors as its reference scripts do, for a budget of processor seconds.

    python -m experiments.bench.torchvision_reference mask_rcnn --assets ../shared/assets --budget 400
    python -m experiments.bench.torchvision_reference fcos --optimizer adamw --budget 60

Source of the recipe: references/detection of torchvision (train.py, engine.py, presets.py): SGD with a learning rate of 0.02
for 16 images (0.01 for one-stage detectors), momentum 0.9, weight decay 1e-4, linear warm-up over the first epoch, steps of
0.1 at about 2/3 and 8/9 of the training, horizontal flips and its own transform of images. Body, neck and sizes of the
layers are those of raytl's networks. Images stay decoded in memory. The budget counts all processor seconds of the process but
those of the test; the steps of the learning rate follow it. Prints COCO's metrics on the test split by faster-coco-eval, with
bootstrap intervals over images. The scripts train in float32 on a CPU; here bfloat16 is the default, as it is in raytl.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from faster_coco_eval import COCO, COCOeval_faster, mask
from torch import Tensor, nn
from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2
from torchvision.transforms import v2

from experiments.bench import torchvision_models
from raytl.config.schema import ModelConfig
from raytl.metrics import average_precision
from raytl.metrics.intervals import estimates
from raytl.metrics.matching import Scene
from raytl.models.freeze import apply_freeze
from raytl.tasks.detection import network as detection
from raytl.tasks.instances import network as instances
from raytl.tasks.overlap import box_areas, box_overlaps, mask_areas, mask_overlaps

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
IMAGES_PER_RATE = 16
"""The reference scripts' learning rate is for 8 devices with 2 images each."""


@dataclass(frozen=True)
class Case:
    """A detector on a data set: its network of raytl, its maker, image sizes, and the label of the first class."""

    folder: str
    images: str
    classes: tuple[str, ...]
    network: Any
    detector: Any
    px: tuple[int, int]
    batch: int
    rate: float
    first_label: int
    kinds: tuple[str, ...]


CASES = {
    "mask_rcnn": Case(
        "nuclei60",
        "images",
        ("nucleus",),
        instances,
        torchvision_models.mask_rcnn,
        px=(256, 256),
        batch=4,
        rate=0.02,
        first_label=1,
        kinds=("segm", "bbox"),
    ),
    "fcos": Case(
        "bccd",
        "JPEGImages",
        ("WBC", "RBC", "Platelets"),
        detection,
        torchvision_models.fcos,
        px=(240, 320),
        batch=8,
        rate=0.01,
        first_label=0,
        kinds=("bbox",),
    ),
}


@dataclass
class Spent:
    """What a training took: epochs, steps, and the processor seconds of the steps."""

    epochs: float = 0.0
    images: int = 0
    steps_s: float = 0.0


def main() -> None:
    """Run the training of the command line."""
    args = _arguments()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    case = CASES[args.model]
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}, one thread")
    model = _model(case, args)
    train = _samples(case, args.assets, "train")
    spent = fit(model, case, train, args)
    trained_s = time.process_time()
    print(
        f"{args.optimizer}, {args.precision}, rate {_rate(case, args):g}: {spent.epochs:.1f} epochs, {trained_s:.0f} s, "
        f"{spent.images / spent.steps_s:.1f} images/s in steps",
        flush=True,
    )
    for kind, values in score(model, case, args).items():
        print(kind, values)
    print(f"test {time.process_time() - trained_s:.0f} s")


def _model(case: Case, args: argparse.Namespace) -> nn.Module:
    weights = str(args.assets / "weights" / "mobilenetv2_100_tv.safetensors")
    network = case.network.build(ModelConfig(name="mobilenetv2_100", weights=weights), case.classes)
    apply_freeze(network, args.unfreeze)
    model: nn.Module = case.detector(network, len(case.classes), *case.px)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def _samples(case: Case, assets: Path, split: str) -> list[tuple[Any, dict[str, Any]]]:
    """Return the decoded images `(3, h, w) uint8` of a split and their targets."""
    root = assets / "datasets" / case.folder
    found = CocoDetection(str(root / case.images), str(root / f"instances_{split}.json"), transforms=v2.ToImage())
    keys = ["image_id", "boxes", "labels"] + (["masks"] if "segm" in case.kinds else [])
    data = wrap_dataset_for_transforms_v2(found, target_keys=keys)
    return [data[i] for i in range(len(data))]


def fit(model: nn.Module, case: Case, train: Sequence[tuple[Any, dict[str, Any]]], args: argparse.Namespace) -> Spent:
    """Train until the budget is spent."""
    rng = np.random.default_rng(args.seed)
    optimizer = _optimizer(model, _rate(case, args), args.optimizer)
    spent, step, per_epoch = Spent(), 0, len(train) // case.batch
    flip = v2.Compose([v2.RandomHorizontalFlip(0.5), v2.ToDtype(torch.float32, scale=True)])
    model.train()
    while True:
        losses = []
        for chosen in np.array_split(rng.permutation(len(train))[: per_epoch * case.batch], per_epoch):
            if time.process_time() >= args.budget:
                return spent
            _set_rate(optimizer, _rate(case, args) * _factor(step, per_epoch, time.process_time() / args.budget))
            views = [flip(*train[i]) for i in chosen]
            images = [image.as_subclass(Tensor) for image, _ in views]
            targets = [_target(target, case.first_label) for _, target in views]
            before = time.process_time()
            losses.append(torchvision_models.step(model, optimizer, images, targets, PRECISIONS[args.precision]))
            spent.steps_s += time.process_time() - before
            spent.images += len(views)
            step += 1
            spent.epochs = step / per_epoch
        print(f"epoch {spent.epochs:.0f} loss {np.mean(losses):.4f} at {time.process_time():.0f} s", flush=True)


def _rate(case: Case, args: argparse.Namespace) -> float:
    return float(args.lr or (1e-3 if args.optimizer == "adamw" else case.rate * case.batch / IMAGES_PER_RATE))


def _optimizer(model: nn.Module, rate: float, name: str) -> torch.optim.Optimizer:
    if name == "adamw":
        return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], rate, weight_decay=0.05)
    return torchvision_models.sgd(model, rate)


def _factor(step: int, warmup: int, progress: float) -> float:
    """Return the factor of the learning rate: from 1/1000 to 1 in the first epoch, then steps of 0.1."""
    steps = (progress >= 2 / 3) + (progress >= 8 / 9)
    return float(min(1.0, 1e-3 + step / max(warmup - 1, 1)) * 0.1**steps)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _target(target: dict[str, Any], first_label: int) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {
        name: target[name].as_subclass(Tensor) for name in ("boxes", "masks") if name in target
    }
    return {**tensors, "labels": target["labels"] - 1 + first_label}


@torch.inference_mode()
def score(model: nn.Module, case: Case, args: argparse.Namespace) -> dict[str, str]:
    """Return COCO's metrics on the test split by kind."""
    model.eval()
    truth = COCO(str(args.assets / "datasets" / case.folder / "instances_test.json"))
    results: dict[int, dict[str, Any]] = {}
    for image, target in _samples(case, args.assets, "test"):
        with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
            found = model([v2.functional.to_dtype(image, torch.float32, scale=True).as_subclass(Tensor)])[0]
        results[target["image_id"]] = {name: _plain(value) for name, value in found.items()}
    return {kind: _scored(truth, results, kind, case) for kind in case.kinds}


def _plain(value: Tensor) -> Any:
    """Return an array; masks as run lengths."""
    if value.ndim != 4:
        return value.float().numpy()
    return [mask.encode(np.asfortranarray((each[0] > 0.5).numpy().astype(np.uint8))) for each in value]


def _scored(truth: Any, results: dict[int, dict[str, Any]], kind: str, case: Case) -> str:
    rows = [row for key, found in results.items() for row in _rows(key, found, kind, case.first_label)]
    evaluation = COCOeval_faster(truth, truth.loadRes(rows), kind, print_function=lambda *_: None)
    evaluation.run()
    scenes = [_scene(truth, key, found, kind, case.first_label) for key, found in results.items()]
    image_facts = average_precision.facts(scenes, len(case.classes))
    measured = partial(average_precision.measure, image_facts, names=("map", "map_50"))
    intervals = {name: value[0] for name, value in estimates(measured, len(scenes)).items()}
    named = {f"mAP{suffix}": float(evaluation.stats[i]) for i, suffix in enumerate(("", "50", "75"))}
    return f"{ {k: round(v, 4) for k, v in named.items()} }, intervals " + ", ".join(
        f"{name} {value}" for name, value in intervals.items()
    )


def _rows(key: int, found: dict[str, Any], kind: str, first_label: int) -> list[dict[str, Any]]:
    rows = []
    for i, (box, label, certain) in enumerate(zip(found["boxes"], found["labels"], found["scores"], strict=True)):
        left, top, right, lower = box.tolist()
        place = (
            {"bbox": [left, top, right - left, lower - top]} if kind == "bbox" else {"segmentation": found["masks"][i]}
        )
        rows.append({"image_id": key, "category_id": int(label) + 1 - first_label, "score": float(certain), **place})
    return rows


def _scene(truth: Any, key: int, found: dict[str, Any], kind: str, first_label: int) -> Scene:
    """Return the image as raytl's metrics describe it, for the intervals."""
    own = truth.loadAnns(truth.getAnnIds(imgIds=[key]))
    crowd = np.array([bool(a["iscrowd"]) for a in own])
    order = np.argsort(-found["scores"], kind="stable")
    if kind == "segm":
        masks, objects = [found["masks"][i] for i in order], [truth.annToRLE(a) for a in own]
        areas, overlaps = mask_areas(masks), mask_overlaps(masks, objects, crowd)
    else:
        corners = np.array([a["bbox"] for a in own], np.float64).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        areas, overlaps = box_areas(found["boxes"][order]), box_overlaps(found["boxes"][order], corners, crowd)
    return Scene(
        truth_labels=np.array([a["category_id"] - 1 for a in own], np.int64),
        truth_areas=np.array([a["area"] for a in own], np.float64),
        crowd=crowd,
        labels=found["labels"][order].astype(np.int64) - first_label,
        scores=found["scores"][order].astype(np.float64),
        areas=areas,
        overlaps=overlaps,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(CASES))
    parser.add_argument("--assets", type=Path, default=Path("../shared/assets"))
    parser.add_argument("--budget", type=float, default=400.0, help="processor seconds")
    parser.add_argument("--optimizer", choices=["sgd", "adamw"], default="sgd")
    parser.add_argument("--lr", type=float, help="default: that of the reference for this batch; 1e-3 for adamw")
    parser.add_argument("--precision", choices=list(PRECISIONS), default="bf16")
    parser.add_argument("--unfreeze", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
