"""Measure domain adaptation of fine-tuned networks: after training (AdaBN, TENT), in training (CORAL, DANN), and by style.

    python -m experiments.bench.after_training run SETS --weights mobilenetv2_100_tv.safetensors --out after.jsonl
    python -m experiments.bench.after_training table after.jsonl

SETS are folders of train/, val/ and test/ with class folders. Each seed draws labelled photos from one half of the training
photos, and the target, without labels, from the other half in another style (experiments/bench/shifted.py). Validation and
test photos are in the style. Each line of the output is one arm: its accuracy on the test photos. Lines that are in the output
are not measured again. The arms after training start from the network of the arm `source only`, so they cost no training;
`gain` and `p_better` are those of their score on the validation photos, by which the product keeps them or not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import raytl
from experiments.bench.shifted import STYLES, is_of_target, number_of, photos, styled
from raytl.adaptation.choice import METRIC, SIGNIFICANCE
from raytl.adaptation.normalization import adapt_network
from raytl.adaptation.views import by_content, normalized_views
from raytl.config.adapt import AdaptConfig
from raytl.config.schema import DataConfig
from raytl.data.perceptual_hash import nearest, phash
from raytl.data.sample import Sample
from raytl.events import ignore
from raytl.metrics.paired import paired
from raytl.metrics.scores import softmax
from raytl.models.temperature import set_temperature
from raytl.store.s3_settings import ENVIRONMENT
from raytl.tasks.probe_solver import even_sample
from raytl.tasks.saved import Saved, load_saved

BATCH, PX, STAGES = 16, 96, 2
PARTS = {"train": 240, "target": 320, "val": 60, "test": 240}
"""Photos of each part."""
DEFAULT_STYLES = ("same", "cast", "sketch", "camera")
TRAINED: Mapping[str, Mapping[str, Any]] = {
    "source only": {},
    "CORAL": {"method": "coral"},
    "DANN": {"method": "dann"},
    "style": {"style": {"probability": 0.5}},
}
AFTER: Mapping[str, Mapping[str, Any]] = {
    "AdaBN, alpha 0.5": {"method": "adabn"},
    "AdaBN, alpha 1": {"method": "adabn", "alpha": 1.0},
    "TENT": {"method": "tent"},
}
Line = dict[str, Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """Photos of a set whose target is in a style, drawn by a seed and written to `folder`."""

    root: Path
    style: str
    seed: int
    folder: Path

    @property
    def where(self) -> Line:
        """What the case is called in the output."""
        return {"set": self.root.name, "style": self.style, "seed": self.seed}

    def write(self) -> None:
        """Write the photos that differ from all test photos."""
        draw, looks = np.random.default_rng(self.seed), list[int]()
        train = photos(self.root / "train")
        pools = {
            "test": photos(self.root / "test"),
            "val": photos(self.root / "val"),
            "target": [path for path in train if is_of_target(path)],
            "train": [path for path in train if not is_of_target(path)],
        }
        for part, pool in pools.items():
            for i in draw.permutation(len(pool))[: PARTS[part]].tolist():
                photo = styled(pool[i], "same" if part == "train" else self.style)
                look = phash(photo)
                if part == "test":
                    looks.append(look)
                elif nearest([look], looks) != [None]:
                    continue
                place = self.folder / ("target" if part == "target" else f"data/{part}") / pool[i].parent.name
                place.mkdir(parents=True, exist_ok=True)
                photo.save(place / f"{number_of(pool[i])}.png")

    def samples(self, part: str) -> list[Sample]:
        """The photos of a part with their class folders as targets."""
        files = photos(self.folder / ("target" if part == "target" else f"data/{part}"))
        split = part if part != "target" else "train"
        return [
            Sample(str(path), str(path), path.parent.name, split, hashlib.sha256(path.read_bytes()).hexdigest())
            for path in files
        ]


def trained(case: Case, arm: str, weights: Path, steps: int) -> tuple[Saved, float]:
    """Return the network of an arm that trains, and the processor's seconds of its training."""
    epochs = max(1, round(steps / -(-len(case.samples("train")) // BATCH)))
    adapt = dict(TRAINED[arm])
    experiment = raytl.Experiment(
        name=arm.replace(" ", "-"),
        data={"uri": str(case.folder / "data")},
        model={"name": "mobilenetv2_100", "weights": str(weights), "preprocess": {"image_px": PX}},
        recipe="none",
        transfer={"unfreeze": STAGES, "head_start": "solved", "head_first": 0, "fallback": "off"},
        train={"epochs": epochs, "batch_size": BATCH, "early_stop": 0, "seed": case.seed, "precision": "fp32"},
        compute={"cluster": "none", "device": "cpu"},
        storage={"uri": str(case.folder / "runs")},
        **({"adapt": {**adapt, "target": str(case.folder / "target")}} if adapt else {}),
    )
    began = time.process_time()
    saved = load_saved(raytl.train(experiment, progress=False).path)
    set_temperature(saved.module, None)  # TENT sees the answers as the product's does
    saved.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return saved, time.process_time() - began


def probabilities(saved: Saved, samples: Sequence[Sample]) -> Floats:
    """Return the probabilities of the classes of each photo, without a temperature."""
    views = _views(saved, samples, len(samples))
    with torch.inference_mode():
        return softmax(torch.cat([saved.module(part) for part in views]).numpy())


def adapted(saved: Saved, target: Sequence[Sample], config: AdaptConfig) -> float:
    """Adapt the network, and return the processor's seconds."""
    began = time.process_time()
    adapt_network(saved.module.eval(), partial(_views, saved, by_content(target)), config)
    return time.process_time() - began


def _views(saved: Saved, samples: Sequence[Sample], limit: int) -> Iterator[Tensor]:
    some, data = even_sample(samples, None, limit), DataConfig(uri="photos", cache="off")
    return normalized_views(saved.module, some, saved.card.preprocess, data, ENVIRONMENT, ignore, "photos")


def lines(case: Case, open_arms: Sequence[str], weights: Path, steps: int) -> Iterator[Line]:
    """Yield the lines of the arms of a case."""
    case.write()
    test, val = case.samples("test"), case.samples("val")
    if any(arm in AFTER for arm in open_arms):
        open_arms = ["source only", *(arm for arm in open_arms if arm != "source only")]
    for arm in [each for each in TRAINED if each in open_arms]:
        saved, seconds = trained(case, arm, weights, steps)
        yield _line(case, arm, saved, test, seconds)
        if arm == "source only":
            yield from _after(case, saved, [each for each in AFTER if each in open_arms], test, val)


def _after(
    case: Case, saved: Saved, arms: Sequence[str], test: Sequence[Sample], val: Sequence[Sample]
) -> Iterator[Line]:
    """Yield the lines of the arms after training; the network is then as it was."""
    before, target = probabilities(saved, val), case.samples("target")
    own = {name: tensor.clone() for name, tensor in saved.module.state_dict().items()}
    for arm in arms:
        seconds = adapted(saved, target, AdaptConfig(**AFTER[arm]))
        gain = paired(_classes(saved, val), before, probabilities(saved, val), METRIC)
        yield _line(case, arm, saved, test, seconds) | {"gain": gain.gain, "p_better": gain.p_better}
        saved.module.load_state_dict(own)


def _line(case: Case, arm: str, saved: Saved, test: Sequence[Sample], seconds: float) -> Line:
    right = probabilities(saved, test).argmax(axis=1) == _classes(saved, test)
    return {**case.where, "arm": arm, "accuracy": float(right.mean()), "seconds": round(seconds, 1)}


def _classes(saved: Saved, samples: Sequence[Sample]) -> NDArray[np.int64]:
    return np.array([saved.card.classes.index(str(one.target)) for one in samples], np.int64)


def table(measured: Sequence[Line]) -> Iterator[str]:
    """Yield a Markdown table: accuracy in %, mean and standard deviation over seeds, and the seconds of each arm."""
    arms = ["source only", *AFTER, *(arm for arm in TRAINED if arm != "source only")]
    cells: dict[tuple[str, str], dict[str, list[Line]]] = defaultdict(lambda: defaultdict(list))
    for line in measured:
        cells[line["set"], line["style"]][line["arm"]].append(line)
    yield "| photos, style of the target | " + " | ".join(arms) + " |"
    yield "|---" * (len(arms) + 1) + "|"
    for (name, style), by_arm in cells.items():
        yield f"| {name}, {style} | " + " | ".join(_cell(by_arm.get(arm, [])) for arm in arms) + " |"
    seconds = {arm: [line["seconds"] for line in measured if line["arm"] == arm] for arm in arms}
    means = (f"{statistics.mean(each):.0f}" if each else "" for each in seconds.values())
    yield "| processor seconds | " + " | ".join(means) + " |"


def _cell(same: Sequence[Line]) -> str:
    values = [100 * line["accuracy"] for line in same]
    if not values:
        return ""
    off = sum(line.get("p_better", 0) > SIGNIFICANCE for line in same)
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{deviation}" + (f" (off {off} of {len(same)})" if off else "")


def run(given: argparse.Namespace) -> None:
    """Measure what is not in the output yet."""
    wanted = given.arms or [*TRAINED, *AFTER]
    for root in given.sets:
        for style in given.styles:
            for seed in range(given.seeds):
                with tempfile.TemporaryDirectory() as folder:
                    case = Case(root, style, seed, Path(folder))
                    done = {line["arm"] for line in _read(given.out) if case.where.items() <= line.items()}
                    if rest := [arm for arm in wanted if arm not in done]:
                        _append(given.out, lines(case, rest, given.weights, given.steps), done)


def _append(out: Path, measured: Iterator[Line], done: set[str]) -> None:
    for line in measured:
        if line["arm"] not in done:
            print(json.dumps(line), flush=True)
            with out.open("a") as file:
                file.write(json.dumps(line) + "\n")


def _read(out: Path) -> list[Line]:
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def main() -> None:
    """Run the benchmark, or print the table of its output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    measure = verbs.add_parser("run")
    measure.add_argument("sets", nargs="+", type=Path)
    measure.add_argument("--weights", type=Path, required=True)
    measure.add_argument("--out", type=Path, required=True)
    measure.add_argument("--styles", nargs="+", default=list(DEFAULT_STYLES), choices=list(STYLES))
    measure.add_argument("--arms", nargs="+", choices=[*TRAINED, *AFTER])
    measure.add_argument("--seeds", type=int, default=3)
    measure.add_argument("--steps", type=int, default=90, help="training steps of each arm that trains")
    verbs.add_parser("table").add_argument("out", type=Path)
    given = parser.parse_args()
    if given.verb == "run":
        run(given)
    else:
        print("\n".join(table(_read(given.out))))


if __name__ == "__main__":
    main()
