"""The two contenders that raytl is compared with, each in its own process.

`ceiling`  the same model, batch, precision, freezing and optimizer in a plain PyTorch loop on tensors in memory.
`peer`     timm: its dataset, loader, transforms, optimizer and usual step, the frozen part with requires_grad=False.

A process builds its contender, warms up and prints `ready`. For each line `seconds` on standard input it trains for
about that long and prints one line of JSON: images, seconds and its memory (PSS).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from experiments.bench.memory import proportional

CLASSES = 6
WARM_STEPS = 3


@dataclass(frozen=True)
class Setup:
    """The training of a contender: `unfreeze` as in the experiment file, `precision` fp32 or bf16, JPEGs under `data`."""

    contender: str
    model: str
    unfreeze: int | str
    precision: str
    batch: int
    px: int
    threads: int
    loader_workers: int
    data: str

    def to_json(self) -> str:
        """Return the setup as a command-line argument."""
        return json.dumps(asdict(self))


Step = Callable[[], int]
"""One training step, which returns its number of images."""


def ceiling(setup: Setup) -> Step:
    """Return a step on one of four batches in memory, with raytl's model, stages and optimizer groups."""
    from raytl.config.schema import ModelConfig, OptimConfig, TransferConfig
    from raytl.models.backbone import build
    from raytl.models.freeze import apply_freeze, learning
    from raytl.models.groups import parameter_groups
    from raytl.models.optimizer import build_optimizer

    backbone = build(ModelConfig(name=setup.model, weights="none"), CLASSES)
    transfer, optim = TransferConfig(unfreeze=setup.unfreeze), OptimConfig(lr=1e-4)  # type: ignore[arg-type]
    depth = len(learning(backbone, transfer.unfreeze).stages)
    apply_freeze(backbone, depth)
    optimizer = build_optimizer(parameter_groups(backbone, transfer, optim, depth), optim)
    model = laid_out(backbone.module, backbone.convolutional).train()
    draw = torch.Generator().manual_seed(0)
    shape = (setup.batch, 3, setup.px, setup.px)
    batches = [
        (laid_out(torch.randn(shape, generator=draw), backbone.convolutional), targets(setup.batch, draw))
        for _ in range(4)
    ]
    return stepper(setup, model, optimizer, forever(batches))


def peer(setup: Setup) -> Step:
    """Return a step of timm's training script, with `loader_workers` processes that decode JPEGs."""
    import timm
    from timm.data import create_dataset, create_loader, resolve_data_config
    from timm.optim import create_optimizer_v2

    model = timm.create_model(setup.model, num_classes=CLASSES)
    frozen = frozen_names(setup)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    config = resolve_data_config({}, model=model)
    loader = create_loader(
        create_dataset("", root=setup.data, split="train", is_training=True),
        input_size=config["input_size"],
        batch_size=setup.batch,
        is_training=True,
        use_prefetcher=False,
        hflip=0.5,
        color_jitter=0.4,
        interpolation=config["interpolation"],
        mean=config["mean"],
        std=config["std"],
        num_workers=setup.loader_workers,
        persistent_workers=setup.loader_workers > 0,
        pin_memory=False,
    )
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-4, weight_decay=0.05)
    convolutional = any(isinstance(part, nn.BatchNorm2d) for part in model.modules())
    model = laid_out(model, convolutional).train()
    batches = ((laid_out(images, convolutional), wanted) for images, wanted in forever(loader))
    return stepper(setup, model, optimizer, batches)


CONTENDERS: dict[str, Callable[[Setup], Step]] = {"ceiling": ceiling, "peer": peer}


def frozen_names(setup: Setup) -> set[str]:
    """Return the parameters that `unfreeze` leaves frozen, by raytl's stages."""
    from raytl.config.schema import ModelConfig
    from raytl.models.backbone import build
    from raytl.models.freeze import learning

    backbone = build(ModelConfig(name=setup.model, weights="none"), CLASSES)
    learns = learning(backbone, setup.unfreeze).names  # type: ignore[arg-type]
    return {name for name, _ in backbone.module.named_parameters()} - set(learns)


def laid_out(thing: Any, channels_last: bool) -> Any:
    """Return a module or a batch of images in the memory format of the network."""
    return thing.to(memory_format=torch.channels_last) if channels_last else thing


def targets(count: int, draw: torch.Generator) -> Tensor:
    """Return random classes `(count,)`."""
    return torch.randint(0, CLASSES, (count,), generator=draw)


def forever(batches: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """Repeat `batches` forever."""
    while True:
        yield from batches


def stepper(
    setup: Setup, model: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterator[tuple[Tensor, Tensor]]
) -> Step:
    """Return the usual step: forward (under autocast for bf16), loss, backward, optimizer."""
    low = setup.precision == "bf16"

    def step() -> int:
        images, wanted = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = nn.functional.cross_entropy(model(images), wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()
        return len(wanted)

    return step


def measure(step: Step, seconds: float) -> dict[str, float]:
    """Run whole steps for at least `seconds`."""
    images, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < seconds:
        images += step()
    return {"images": images, "seconds": taken, "bytes": proportional(os.getpid())}


def main() -> None:
    """Run one contender over standard input and output."""
    setup = Setup(**json.loads(sys.argv[1]))
    torch.set_num_threads(setup.threads)
    torch.manual_seed(0)
    assert setup.contender == "ceiling" or Path(setup.data, "train").is_dir(), f"no train/ in {setup.data}"
    step = CONTENDERS[setup.contender](setup)
    for _ in range(WARM_STEPS):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(step, float(line))), flush=True)


if __name__ == "__main__":
    main()
