"""AutoGluon's image classifier beside the others of the table, with the same weights, images, batch and steps.

AutoGluon needs other versions of timm and Ray than raytl, so it runs in an environment of its own, after raytl's runs, whose
steps it takes:

    pip install autogluon.multimodal "setuptools<81"
    python -m experiments.defaults.autogluon data/defaults --assets ../shared/assets --sizes 5 20

Its defaults stay (TrivialAugment, AdamW 1e-4 with a decay by layer of 0.9, cosine, clipping, a soup of the best three), but
for the size and number of steps, ten validations in place of two an epoch, and bf16.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from timm.models.vision_transformer import checkpoint_filter_fn

VALIDATIONS = 10
WEIGHTS = {
    "mobilenetv2_100": "mobilenetv2_100_tv.safetensors",
    "vit_tiny_patch16_224": "vit_tiny_patch16_224.safetensors",
}


def checkpoint(model: str, weights: Path, px: int, folder: Path) -> None:
    """Write the pretrained body to `folder` in the form that AutoGluon reads."""
    net = timm.create_model(model, num_classes=0, **sized(model, px))
    state = {name: value.float() for name, value in load_file(weights).items()}
    if "vit" in model:
        state = checkpoint_filter_fn(state, net)
    assert not net.load_state_dict(state, strict=False).missing_keys
    torch.save(net.state_dict(), folder / "pytorch_model.bin")
    config = {key: value for key, value in net.pretrained_cfg.items() if value is not None}
    config["input_size"] = (3, px, px)
    about = {"architecture": model, "num_classes": 0, "num_features": net.num_features, "pretrained_cfg": config}
    (folder / "config.json").write_text(json.dumps(about, default=str), encoding="utf-8")


def sized(model: str, px: int) -> dict[str, int]:
    """Return the size of the input, which transformers are built for."""
    return {"img_size": px} if "vit" in model else {}


def hyperparameters(folder: Path, px: int, images: int, steps: int) -> dict[str, Any]:
    """Return what differs from AutoGluon's defaults."""
    epochs = max(1, steps // max(1, images // 16))
    return {
        "model.names": ["timm_image"],
        "model.timm_image.checkpoint_name": str(folder),
        "model.timm_image.image_size": px,
        "optim.max_steps": steps,
        "optim.max_epochs": 10_000,
        "optim.patience": 10**6,
        "optim.val_check_interval": 1.0,
        "optim.check_val_every_n_epoch": max(1, epochs // VALIDATIONS),
        "env.batch_size": 16,
        "env.per_gpu_batch_size": 16,
        "env.num_gpus": 0,
        "env.num_workers": 0,
        "env.num_workers_inference": 0,
        "env.precision": "bf16-mixed",
        "env.accelerator": "cpu",
        "env.strategy": "auto",
    }


def probabilities(root: Path, model: str, weights: Path, px: int, steps: int, seed: int) -> NDArray[np.float64]:
    """Return the probabilities of the test images, `(images, classes)`, sorted by class."""
    from autogluon.multimodal import MultiModalPredictor
    from autogluon.multimodal.models import timm_image

    create: Callable[..., Any] = timm.create_model
    timm_image.create_model = lambda *args, **kwargs: create(*args, **kwargs, **sized(model, px))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        checkpoint(model, weights, px, folder)
        predictor = MultiModalPredictor(label="label", path=str(folder / "out"), verbosity=1)
        train, test = table(root / "train"), table(root / "test")
        given = hyperparameters(folder, px, len(train), steps)
        predictor.fit(train_data=train, tuning_data=table(root / "val"), seed=seed, hyperparameters=given)
        found = predictor.predict_proba(test[["image"]])
    return np.asarray(found[sorted(test.label.unique())], dtype=np.float64)


def table(root: Path) -> pd.DataFrame:
    """Return the images below `root` with their classes."""
    files = sorted(root.rglob("*.png"))
    return pd.DataFrame({"image": [str(path) for path in files], "label": [path.parent.name for path in files]})


def main() -> None:
    """Run what is missing beside the runs of raytl."""
    from experiments.defaults.rows import FILE
    from experiments.defaults.scores import ece

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--assets", type=Path, default=Path("../shared/assets"))
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--px", type=int, default=112)
    parser.add_argument("--sizes", nargs="+", type=int, default=[5, 20])
    given = parser.parse_args()
    rows = [json.loads(line) for line in given.out.read_text().splitlines()]
    done = {key(row) for row in rows if row["contender"] == "autogluon"}
    for row in rows:
        if row["contender"] != "raytl" or row["size"] not in given.sizes or key(row) in done:
            continue
        root = given.data / row["data"] / str(row["size"]) / str(row["seed"])
        started = time.process_time()
        weights = given.assets / "weights" / WEIGHTS[row["model"]]
        found = probabilities(root, row["model"], weights, given.px, row["steps"], row["seed"])
        classes = sorted(path.name for path in (root / "train").iterdir())
        truth = np.array([classes.index(label) for label in table(root / "test").label])
        accuracy = 100 * float((found.argmax(1) == truth).mean())
        cost = {"cpu_s": time.process_time() - started}
        line = {**row, **cost, "contender": "autogluon", "accuracy": accuracy, "ece": 100 * ece(found, truth)}
        with given.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(
            f"{' '.join(map(str, key(row)))}: {accuracy:.1f} %, ECE {line['ece']:.1f}, {cost['cpu_s']:.0f} s",
            flush=True,
        )


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a row is about."""
    return row["data"], row["size"], row["seed"], row["model"]


if __name__ == "__main__":
    main()
