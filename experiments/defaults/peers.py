"""What others do by default, with the same weights, images, batch and steps: fastai's `fine_tune`, and a recipe written by hand
from timm's own parts. Each returns probabilities of the test images, `(images, classes)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from timm.data import create_transform, resolve_model_data_config
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from raytl.models.forward import pick_precision


@dataclass(frozen=True)
class Job:
    """One training: class folders below `root`, a timm `model` with the weights in a file, and how long."""

    root: Path
    model: str
    weights: Path
    px: int
    batch: int
    steps: int
    seed: int

    @property
    def classes(self) -> list[str]:
        """Return the class names, sorted."""
        return sorted(path.name for path in (self.root / "train").iterdir())

    def files(self, split: str) -> list[Path]:
        """Return the images of a split, sorted."""
        return sorted((self.root / split).rglob("*.png"))


def body(job: Job) -> dict[str, Tensor]:
    """Return the pretrained tensors without those of the head, in float32."""
    own = {name for name, p in timm.create_model(job.model).named_parameters() if p.shape[:1] == (1000,)}
    return {name: value.float() for name, value in load_file(job.weights).items() if name not in own}


def fastai(job: Job) -> NDArray[np.float64]:
    """Return what `vision_learner(...).fine_tune(...)` predicts after its defaults: aug_transforms, one frozen epoch, one-cycle."""
    from fastai.vision import all as fast

    fast.set_seed(job.seed)
    config = timm.get_pretrained_cfg(job.model)
    norm = fast.Normalize.from_stats(config.mean, config.std, cuda=False)
    batch = min(job.batch, len(job.files("train")))
    loaders = fast.ImageDataLoaders.from_folder(
        job.root, train="train", valid="val", item_tfms=fast.Resize(job.px), batch_tfms=[*fast.aug_transforms(), norm],
        bs=batch, num_workers=0, device=torch.device("cpu"),
    )  # fmt: skip
    learner = fast.vision_learner(
        loaders, job.model, pretrained=False, n_out=len(job.classes), metrics=[], **_sized(job)
    )
    _load(learner.model[0].model, body(job))
    _laid_out(learner.model, job)
    epochs = max(1, round(job.steps / max(1, len(loaders.train))) - 1)
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(epochs)
        probabilities, _ = learner.get_preds(dl=loaders.test_dl(job.files("test")))
    return np.asarray(probabilities, dtype=np.float64)


def timm_recipe(job: Job) -> NDArray[np.float64]:
    """Return what a usual fine-tune of all layers predicts: AdamW 3e-4, cosine, warm-up, RandAugment, label smoothing 0.1."""
    torch.manual_seed(job.seed)
    np.random.seed(job.seed)
    model = timm.create_model(job.model, num_classes=len(job.classes), **_sized(job))
    _load(model, body(job))
    _laid_out(model, job)
    config = resolve_model_data_config(model) | {"input_size": (3, job.px, job.px)}
    train = create_transform(**config, is_training=True, auto_augment="rand-m7-mstd0.5-inc1")
    batch = min(job.batch, len(job.files("train")))
    loader = DataLoader(_Folder(job, "train", train), batch, shuffle=True, drop_last=len(job.files("train")) >= batch)
    optimizer = create_optimizer_v2(model, opt="adamw", lr=3e-4, weight_decay=0.05)
    schedule = CosineLRScheduler(optimizer, t_initial=job.steps, warmup_t=max(1, job.steps // 10), warmup_lr_init=1e-6)
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    precision = pick_precision("auto", torch.device("cpu"))
    model.train()
    for epoch in range(math.ceil(job.steps / len(loader))):
        for number, (images, targets) in enumerate(loader):
            step = epoch * len(loader) + number
            if step >= job.steps:
                break
            schedule.step_update(step) if schedule.t_in_epochs is False else schedule.step(step)
            optimizer.zero_grad()
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                logits = model(images)
            loss(logits.float(), targets).backward()
            optimizer.step()
    evaluation = create_transform(**config, is_training=False)
    return _probabilities(model, DataLoader(_Folder(job, "test", evaluation), 64))


def _sized(job: Job) -> dict[str, int]:
    """Return the size of the input, which transformers are built for."""
    return {"img_size": job.px} if "vit" in job.model else {}


def _laid_out(model: nn.Module, job: Job) -> None:
    """Keep the weights of a convolutional network as the processor reads them fastest, which changes no score."""
    if "vit" not in job.model:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _load(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    own = model.state_dict()
    if "pos_embed" in tensors and tensors["pos_embed"].shape != own["pos_embed"].shape:
        from timm.models.vision_transformer import checkpoint_filter_fn

        tensors = checkpoint_filter_fn(tensors, model)  # type: ignore[arg-type]
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected and all(own[name].shape[0] == model.num_classes for name in missing), (missing, unexpected)


@torch.inference_mode()
def _probabilities(model: nn.Module, loader: DataLoader[tuple[Tensor, int]]) -> NDArray[np.float64]:
    model.eval()
    return torch.cat([model(images).softmax(1) for images, _ in loader]).double().numpy()


class _Folder(Dataset[tuple[Tensor, int]]):
    def __init__(self, job: Job, split: str, transform: object) -> None:
        self._files: Sequence[Path] = job.files(split)
        self._classes, self._transform = job.classes, transform

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        path = self._files[place]
        with Image.open(path) as image:
            return self._transform(image.convert("RGB")), self._classes.index(path.parent.name)  # type: ignore[operator]
