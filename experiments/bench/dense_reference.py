"""Train the dense networks with a plain loop on tensors in memory: what their recipes reach, and what a step costs.

    python experiments/bench/dense_reference.py detection --assets ../shared/assets --epochs 12 --unfreeze 0

Prints the loss of each epoch, then COCO's metrics (or the mIoU) on the test split, processor seconds, images a second of the
training steps and peak memory. It uses raytl's networks and losses, and nothing else of its training.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster, mask
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as tv

from raytl.config.schema import ModelConfig, OptimConfig, TransferConfig
from raytl.models.backbone import Backbone
from raytl.models.freeze import apply_freeze
from raytl.models.groups import parameter_groups
from raytl.tasks.objects import Limits, ObjectBatch, Objects, Predicted

MIN_VISIBLE = 0.2


@dataclass(frozen=True)
class Item:
    """An image `(3, h, w) uint8` with its objects, or its classes by pixel `(h, w) uint8`, and its id in the JSON."""

    image: Tensor
    target: Any
    key: int


@dataclass(frozen=True)
class View:
    """A training view."""

    image: Tensor
    target: Any


def main() -> None:
    """Run the experiment of the command line."""
    args = _arguments()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    task = TASKS[args.task]
    train, test = (task.items(args.assets, split, args.size) for split in ("train", "test"))
    weights = str(args.assets / "weights" / "mobilenetv2_100_tv.safetensors")
    options = {"neck": {"channels": args.channels}, "head": args.head}
    backbone = task.build(ModelConfig(name="mobilenetv2_100", weights=weights, **options))
    backbone.module.to(memory_format=torch.channels_last)
    apply_freeze(backbone, args.unfreeze)
    started = time.process_time()
    steps_s = fit(task, backbone, train, args)
    trained = time.process_time()
    scores = task.score(args.assets, test, [task.predict(backbone, item) for item in test])
    scored = time.process_time()
    report = {name: round(value, 4) for name, value in scores.items()}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{report} train {trained - started:.0f} s, test {scored - trained:.0f} s, "
        f"{args.epochs * len(train) / steps_s:.1f} images/s, {memory:.2f} GB"
    )


def fit(task: Any, backbone: Backbone, train: Sequence[Item], args: argparse.Namespace) -> float:
    """Train; return the processor seconds of the steps, without the views."""
    rng = np.random.default_rng(args.seed)
    transfer = TransferConfig(unfreeze=args.unfreeze, lr_decay=args.decay, head_lr_ratio=1 / args.backbone_lr)
    groups = parameter_groups(backbone, transfer, OptimConfig(lr=args.lr, weight_decay=args.wd), args.unfreeze)
    optimizer = torch.optim.AdamW(groups)
    for group in optimizer.param_groups:
        group["base"] = group["lr"]
    per_epoch = len(train) // args.batch
    total, step, spent = args.epochs * per_epoch, 0, 0.0
    for epoch in range(args.epochs):
        backbone.module.train()
        order, losses = rng.permutation(len(train)), []
        for chosen in np.array_split(order[: per_epoch * args.batch], per_epoch):
            views = [task.view(train[i], rng, args) for i in chosen]
            before = time.process_time()
            rate = min(1.0, (step + 1) / args.warmup) * 0.5 * (1 + math.cos(math.pi * step / total))
            for group in optimizer.param_groups:
                group["lr"] = group["base"] * rate
            loss = task.loss(backbone, views, torch.from_numpy(chosen))
            loss.backward()
            torch.nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], args.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            spent += time.process_time() - before
            losses.append(float(loss.detach()))
            step += 1
        print(f"epoch {epoch + 1} loss {np.mean(losses):.4f} at {time.process_time():.0f} s", flush=True)
    return spent


MEAN, STD = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def inputs(images: Sequence[Tensor]) -> Tensor:
    """Return the normalized batch `(b, 3, h, w) float32`, channels last."""
    batch = torch.stack(list(images)).float().div_(255).sub_(MEAN).div_(STD)
    return batch.contiguous(memory_format=torch.channels_last)


def autocast() -> torch.autocast:
    """Return the precision of the runs."""
    return torch.autocast("cpu", torch.bfloat16)


def colored(image: Tensor, rng: np.random.Generator, strength: float) -> Tensor:
    """Return the image with another brightness, contrast and saturation."""
    for change in (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation):
        image = change(image, float(rng.uniform(1 - strength, 1 + strength)))
    return image


@dataclass(frozen=True)
class Draw:
    """A view: a scale about a point, and flips."""

    scale: float
    left: float
    top: float
    hflip: bool
    vflip: bool


def draw(rng: np.random.Generator, size: tuple[int, int], scales: tuple[float, float]) -> Draw:
    """Draw a scale and flips, and the place of the view in the scaled image."""
    scale = float(np.exp(rng.uniform(*np.log(scales))))
    spare = [side * (scale - 1) for side in size]
    top, left = (float(rng.uniform(min(0, s), max(0, s))) for s in spare)
    return Draw(scale, left, top, bool(rng.random() < 0.5), bool(rng.random() < 0.5))


def moved(value: Tensor, how: Draw, mode: str, fill: float) -> Tensor:
    """Return `(c, h, w)` under the draw, of the same size."""
    height, width = value.shape[-2:]
    x = (torch.arange(width) + 0.5 + how.left) / how.scale
    y = (torch.arange(height) + 0.5 + how.top) / how.scale
    x, y = (x.flip(0) if how.hflip else x), (y.flip(0) if how.vflip else y)
    grid = torch.stack(torch.meshgrid(x / width * 2 - 1, y / height * 2 - 1, indexing="xy"), dim=-1)
    shifted = (value.float() - fill)[None]
    sampled = functional.grid_sample(shifted, grid[None], mode=mode, padding_mode="zeros", align_corners=False)
    return (sampled[0] + fill).round().to(value.dtype)


def moved_objects(objects: Objects, how: Draw, size: tuple[int, int]) -> Objects:
    """Return the objects under the draw, without those that are hardly visible."""
    height, width = size
    boxes = objects.boxes * how.scale - torch.tensor([how.left, how.top] * 2)
    if how.hflip:
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    if how.vflip:
        boxes[:, [1, 3]] = height - boxes[:, [3, 1]]
    clipped = torch.stack([boxes[:, i].clamp(0, (width, height)[i % 2]) for i in range(4)], dim=1)
    area, seen = ((b[:, 2:] - b[:, :2]).clamp(min=0).prod(dim=1) for b in (boxes, clipped))
    retained = (seen > MIN_VISIBLE * area) & ((clipped[:, 2:] - clipped[:, :2]).amin(dim=1) > 1)
    masks = objects.masks
    if masks is not None:
        masks = moved(masks, how, "nearest", 0) if len(masks) else masks
        retained &= masks.flatten(1).sum(dim=1) > 0
        masks = masks[retained]
    return Objects(clipped[retained], objects.labels[retained], objects.crowd[retained], masks)


class Detection:
    """BCCD at 320 x 240."""

    folder, images, classes, masks = "bccd", "JPEGImages", ("WBC", "RBC", "Platelets"), False

    def items(self, assets: Path, split: str, size: int) -> list[Item]:
        """Return the images of a split at a shorter side of `size`."""
        root = assets / "datasets" / self.folder
        content = json.loads((root / f"instances_{split}.json").read_text())
        return [self._item(root, content, image, size) for image in content["images"]]

    def _item(self, root: Path, content: dict[str, Any], image: dict[str, Any], size: int) -> Item:
        with Image.open(root / self.images / image["file_name"]) as opened:
            scale = size / min(opened.size)
            picture = opened.convert("RGB").resize([round(s * scale) for s in opened.size], Image.Resampling.BILINEAR)
        own = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        boxes = torch.tensor([a["bbox"] for a in own], dtype=torch.float32).reshape(-1, 4) * scale
        boxes[:, 2:] += boxes[:, :2]
        objects = Objects(
            boxes,
            torch.tensor([a["category_id"] - 1 for a in own], dtype=torch.int64),
            torch.tensor([bool(a["iscrowd"]) for a in own], dtype=torch.bool),
            self._masks(own, picture.size) if self.masks else None,
        )
        return Item(torch.from_numpy(np.array(picture)).permute(2, 0, 1), objects, image["id"])

    def _masks(self, own: Sequence[dict[str, Any]], size: tuple[int, int]) -> Tensor:
        results = [Image.fromarray(mask.decode(a["segmentation"])).resize(size, Image.Resampling.NEAREST) for a in own]
        return torch.from_numpy(
            np.stack([np.array(m) for m in results]) if results else np.zeros((0, *size[::-1]), np.uint8)
        )

    def build(self, config: ModelConfig) -> Backbone:
        """Return the network."""
        from raytl.tasks.detection.network import build

        return build(config, self.classes)

    def view(self, item: Item, rng: np.random.Generator, args: argparse.Namespace) -> View:
        """Return a training view."""
        size = (item.image.shape[1], item.image.shape[2])
        how = draw(rng, size, (0.8, 1.3))
        image = colored(moved(item.image, how, "bilinear", 114), rng, args.color)
        return View(image, moved_objects(item.target, how, size))

    def loss(self, backbone: Backbone, views: Sequence[View], ids: Tensor) -> Tensor:
        """Return the loss of a batch."""
        from raytl.tasks.detection.network import normalizer

        batch = ObjectBatch(tuple(v.target for v in views), tuple(views[0].image.shape[-2:]))
        with autocast():
            total = backbone.module(inputs([v.image for v in views]), batch, ids)
        divisor = normalizer(backbone.module.head.kind, batch)
        return total / max(1.0, len(views) if divisor is None else divisor)

    def predict(self, backbone: Backbone, item: Item) -> Predicted:
        """Return the objects of an image."""
        backbone.module.eval()
        with torch.no_grad(), autocast():
            return backbone.module(inputs([item.image])).decode(Limits())[0]

    def score(self, assets: Path, test: Sequence[Item], results: Sequence[Predicted]) -> dict[str, float]:
        """Return COCO's metrics."""
        path = assets / "datasets" / self.folder / "instances_test.json"
        truth = COCO(json.loads(path.read_text()))
        kinds = ("bbox", "segm") if self.masks else ("bbox",)
        return {k: v for kind in kinds for k, v in self._scores(truth, test, results, kind).items()}

    def _scores(self, truth: Any, test: Sequence[Item], results: Sequence[Predicted], kind: str) -> dict[str, float]:
        rows = [row for item, one in zip(test, results, strict=True) for row in _rows(truth, item, one, kind)]
        evaluation = COCOeval_faster(truth, truth.loadRes(rows), kind, print_function=lambda *_: None)
        evaluation.run()
        stats = evaluation.stats
        return {f"{kind}_mAP": stats[0], f"{kind}_mAP50": stats[1], f"{kind}_mAP75": stats[2], f"{kind}_AR": stats[8]}


def _rows(truth: Any, item: Item, results: Predicted, kind: str) -> Iterator[dict[str, Any]]:
    """Yield the predictions as COCO's results, in the pixels of the original image."""
    size = truth.imgs[item.key]
    scale = torch.tensor([size["width"] / item.image.shape[2], size["height"] / item.image.shape[1]] * 2)
    for i, (box, label, score) in enumerate(zip(results.boxes * scale, results.labels, results.scores, strict=True)):
        x, y, right, lower = box.tolist()
        row = {"image_id": item.key, "category_id": int(label) + 1, "score": float(score)}
        if kind == "segm":
            full = functional.interpolate(
                results.masks[i][None, None], (size["height"], size["width"]), mode="bilinear"
            )
            row["segmentation"] = mask.encode(np.asfortranarray((full[0, 0] > 0.5).numpy().astype(np.uint8)))
        else:
            row["bbox"] = [x, y, right - x, lower - y]
        yield row


class Instances(Detection):
    """nuclei60 at 256 x 256."""

    folder, images, classes, masks = "nuclei60", "images", ("nucleus",), True

    def build(self, config: ModelConfig) -> Backbone:
        """Return the network."""
        from raytl.tasks.instances.network import build

        return build(config, self.classes)

    def items(self, assets: Path, split: str, size: int) -> list[Item]:
        """Return the images of a split, cut to squares of `size` that the network sees whole."""
        return [_square(item, size) for item in super().items(assets, split, size)]


class Segmentation(Instances):
    """nuclei60 at 256 x 256, nuclei against the background."""

    classes = ("background", "nucleus")

    def build(self, config: ModelConfig) -> Backbone:
        """Return the network."""
        from raytl.tasks.segmentation.network import build

        return build(config, self.classes)

    def view(self, item: Item, rng: np.random.Generator, args: argparse.Namespace) -> View:
        """Return a training view, void outside the image."""
        size = (item.image.shape[1], item.image.shape[2])
        how = draw(rng, size, (0.8, 1.3))
        image = colored(moved(item.image, how, "bilinear", 114), rng, args.color)
        return View(image, moved(_classes(item.target), how, "nearest", 255)[0])

    def loss(self, backbone: Backbone, views: Sequence[View], ids: Tensor) -> Tensor:
        """Return the loss of a batch."""
        from raytl.tasks.segmentation.loss import normalizer

        masks = torch.stack([view.target for view in views])
        with autocast():
            total: Tensor = backbone.module(inputs([v.image for v in views]), masks)
        return total / max(1.0, normalizer(masks))

    def predict(self, backbone: Backbone, item: Item) -> Any:
        """Return the class of each pixel."""
        backbone.module.eval()
        with torch.no_grad(), autocast():
            return backbone.module(inputs([item.image])).argmax(dim=1)

    def score(self, assets: Path, test: Sequence[Item], results: Sequence[Any]) -> dict[str, float]:
        """Return the mean intersection over union of the classes, over all pixels."""
        pairs = [(result, _classes(item.target)) for item, result in zip(test, results, strict=True)]
        shared = [sum(int(((a == c) & (b == c)).sum()) for a, b in pairs) for c in range(2)]
        joined = [sum(int(((a == c) | (b == c)).sum()) for a, b in pairs) for c in range(2)]
        ratios = [part / max(whole, 1) for part, whole in zip(shared, joined, strict=True)]
        return {"mIoU": float(np.mean(ratios)), "IoU_nucleus": ratios[1]}


def _square(item: Item, size: int) -> Item:
    """Return the item stretched to `size` x `size`."""
    _, height, width = item.image.shape
    image = tv.resize(item.image, [size, size], antialias=True)
    boxes = item.target.boxes * torch.tensor([size / width, size / height] * 2)
    masks = functional.interpolate(item.target.masks[None].float(), (size, size), mode="nearest")[0].to(torch.uint8)
    return Item(image, Objects(boxes, item.target.labels, item.target.crowd, masks), item.key)


def _classes(objects: Objects) -> Tensor:
    """Return the class of each pixel `(1, h, w) uint8`: 1 inside any object."""
    return objects.masks.amax(dim=0)[None] if objects.masks is not None else torch.zeros(1, 1, 1)


TASKS: dict[str, Any] = {"detection": Detection(), "instances": Instances(), "segmentation": Segmentation()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("--assets", type=Path, default=Path("../shared/assets"))
    parser.add_argument("--head")
    for name, default in (("epochs", 30), ("unfreeze", 6), ("batch", 8), ("seed", 0), ("size", 240), ("warmup", 26)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--channels", type=int)
    numbers = (("lr", 1e-3), ("backbone-lr", 0.3), ("decay", 0.8), ("wd", 0.05), ("clip", 10.0), ("color", 0.2))
    for name, value in numbers:
        parser.add_argument(f"--{name}", type=float, default=value)
    return parser.parse_args()


if __name__ == "__main__":
    main()
