"""Measure domain adaptation on frozen features of shifted photos, as a Markdown table.

    python -m experiments.bench.adaptation SETS --weights mobilenetv2_100_tv.safetensors --keep features/

SETS are folders of train/, val/ and test/ with class folders. Half of the training photos are the labelled source, the other
half, in another style (experiments/bench/shifted.py), the target without labels; accuracy is that of the test photos in the
style. Each seed draws four fifths of both halves. `--keep` stores the features, so that a second call takes seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from experiments.bench.shifted import STYLES, is_of_target, photos, styled
from raytl.adaptation.alignment import coral, standardized
from raytl.adaptation.centroids import centroid_similarities
from raytl.adaptation.choice import Candidate, agreement, chosen_method
from raytl.adaptation.probe import probe_probabilities
from raytl.adaptation.statistics import measured_statistics, set_statistics, statistics_of
from raytl.config.schema import ModelConfig
from raytl.models import backbone as backbones
from raytl.models.forward import to_input
from raytl.models.probe import head_layer, pooled_inputs

Table = NDArray[np.float64]
Domains = Mapping[str, NDArray[np.generic]]
"""Features of the source `s`, the target `t` and its test `e`, those with statistics of their domain (`s5` and `s1` for an alpha
of 0.5 and 1, ...), and the classes `ys`, `yt`, `ye`."""
ALPHAS: Mapping[str, float] = {"5": 0.5, "1": 1.0}
FEW = 5
METHODS = ("none", "centroids", "adabn_centroids")
_BATCH = 32


def features(network: backbones.Backbone, views: Tensor) -> Table:
    """Return the inputs of the head for `views (n, 3, h, w) uint8`."""
    layer, rows = head_layer(network), list[Tensor]()
    hook = layer.register_forward_pre_hook(lambda _, given: rows.append(pooled_inputs(layer, given[0])))
    with torch.inference_mode():
        for inputs in batches(network, views):
            network.module(inputs)
    hook.remove()
    return torch.cat(rows).double().numpy()


def batches(network: backbones.Backbone, views: Tensor) -> Iterator[Tensor]:
    """Yield the normalized inputs of the network."""
    for part in views.split(_BATCH):
        yield to_input(part, network.preprocess, torch.device("cpu"), network.convolutional)


def read(paths: Sequence[Path], style: str, px: int) -> Tensor:
    """Return the photos in the style, resized and cropped to `px`, `(n, 3, px, px) uint8`."""
    views = []
    for path in paths:
        photo = styled(path, style)
        scale = px * 1.125 / min(photo.size)
        photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BILINEAR)
        left, top = (photo.width - px) // 2, (photo.height - px) // 2
        views.append(np.asarray(photo.crop((left, top, left + px, top + px))))
    return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)


def domains(root: Path, style: str, network: backbones.Backbone, px: int, most: int) -> Domains:
    """Return the features of both domains of `root` in `style`, of at most `most` photos each, and fewer of test."""
    drawn, train = np.random.default_rng(0), photos(root / "train")
    halves = [path for path in train if not is_of_target(path)], [path for path in train if is_of_target(path)]
    parts = dict(zip("ste", (*halves, photos(root / "test")), strict=True))
    limits = {"s": most, "t": most, "e": most * 5 // 8}
    some = {key: [own[i] for i in sorted(drawn.permutation(len(own))[: limits[key]])] for key, own in parts.items()}
    names = sorted({path.parent.name for path in train})
    views = {key: read(own, "same" if key == "s" else style, px) for key, own in some.items()}
    found = {f"y{key}": np.array([names.index(path.parent.name) for path in own]) for key, own in some.items()}
    found |= {key: features(network, own) for key, own in views.items()}
    weights = statistics_of(network.module)
    for name, alpha in ALPHAS.items():
        for measured, seen in (("s", ("s",)), ("t", ("t", "e"))):
            statistics = measured_statistics(network.module, batches(network, views[measured]), alpha)
            set_statistics(network.module, statistics)
            found |= {key + name: features(network, views[key]) for key in seen}
            set_statistics(network.module, weights)
    return found


def measured(all_images: Domains, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the accuracy of each method on the target's test, and its seconds, for one draw of images."""
    own, truth = _drawn(all_images, seed), all_images["ye"]
    classes, count = own["ys"].astype(np.int64), int(own["ys"].max()) + 1
    scores: dict[str, float] = {}
    seconds: dict[str, float] = {}

    def score(name: str, learn: Callable[[], Table]) -> None:
        started = time.perf_counter()
        scores[name] = float((learn().argmax(axis=1) == truth).mean())
        seconds[name] = time.perf_counter() - started

    def said(kind: str) -> NDArray[np.int64]:
        return probe_probabilities(own["s" + kind], classes, count, own["t" + kind]).argmax(axis=1)

    def centroids(kind: str) -> NDArray[np.int64]:
        answers = probe_probabilities(own["s" + kind], classes, count, own["t" + kind])
        return centroid_similarities(own["t" + kind], answers).argmax(axis=1)

    def learned(labels: NDArray[np.int64], rows: NDArray[np.int64]) -> Table:
        table, both = np.vstack([own["s"], own["t"][rows]]), np.concatenate([classes, labels])
        return probe_probabilities(table, both, count, own["e"])

    def auto() -> Table:
        answers = {"none": ("", said("")), "centroids": ("", centroids("")), "adabn_centroids": ("5", said("5"))}
        candidates = {}
        for name, (kind, labels) in answers.items():
            source, target = own["s" + kind], own["t" + kind]
            candidates[name] = Candidate(source, target, labels, agreement(source, classes, target, count))
        choice = chosen_method(candidates, classes, count)
        scores["chosen"] = float(METHODS.index(choice.method))
        return only_source() if choice.method == "none" else learned(centroids(answers[choice.method][0]), every)

    def only_source() -> Table:
        return probe_probabilities(own["s"], classes, count, own["e"])

    every = np.arange(len(own["t"]))
    truths = own["yt"].astype(np.int64)
    few = np.concatenate([np.flatnonzero(truths == name)[:FEW] for name in range(count)])
    mean, scale = own["t"].mean(axis=0), own["t"].std(axis=0) + 1e-9
    score("source only", only_source)
    score(
        "standardized", lambda: probe_probabilities(standardized(own["s"]), classes, count, (own["e"] - mean) / scale)
    )
    score("CORAL", lambda: probe_probabilities(coral(own["s"], own["t"], 0.1), classes, count, own["e"]))
    score("AdaBN, alpha 1", lambda: probe_probabilities(own["s1"], classes, count, own["e1"]))
    score("AdaBN, alpha 0.5", lambda: probe_probabilities(own["s5"], classes, count, own["e5"]))
    score("self-training", lambda: learned(said(""), every))
    score("centroids", lambda: learned(centroids(""), every))
    score("adabn_centroids, alpha 1", lambda: learned(centroids("1"), every))
    score("adabn_centroids", lambda: learned(centroids("5"), every))
    score("auto", auto)
    score(f"{FEW} target labels a class", lambda: learned(truths[few], few))
    return scores, seconds


def _drawn(found: Domains, seed: int) -> dict[str, NDArray[np.float64]]:
    """Return four fifths of the images of both domains; the test images stay."""
    draw = np.random.default_rng(seed)
    rows = {key: draw.permutation(len(found[f"y{key}"]))[: len(found[f"y{key}"]) * 4 // 5] for key in "st"}
    return {
        key: np.asarray(table if key.strip("y15") == "e" else table[rows[key.strip("y15")]], np.float64)
        for key, table in found.items()
    }


def rows(sets: Sequence[Path], styles: Sequence[str], seeds: int, arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the table."""
    network = _network(arguments.weights, arguments.px)
    for root in sets:
        for style in styles:
            own = _kept(arguments.keep, root, style, network, arguments.px, arguments.most)
            runs = [measured(own, seed) for seed in range(seeds)]
            chosen = [METHODS[int(scores.pop("chosen"))] for scores, _ in runs]
            if root == sets[0] and style == styles[0]:
                yield "| set, style | " + " | ".join(runs[0][0]) + " | auto chose |"
                yield "|---" * (len(runs[0][0]) + 2) + "|"
            cells = []
            for name in runs[0][0]:
                values = 100 * np.array([scores[name] for scores, _ in runs])
                cells.append(f"{values.mean():.1f} ± {values.std(ddof=1):.1f}")
            yield f"| {root.name}, {style} | " + " | ".join(cells) + f" | {', '.join(sorted(set(chosen)))} |"


def _network(weights: Path, px: int) -> backbones.Backbone:
    config = ModelConfig(name="mobilenetv2_100", weights=str(weights), preprocess={"image_px": px})  # type: ignore[arg-type]
    network = backbones.build(config, 2)
    network.module.eval()
    if network.convolutional:
        network.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert isinstance(network.module, nn.Module)
    return network


def _kept(keep: Path, root: Path, style: str, network: backbones.Backbone, px: int, most: int) -> Domains:
    """Return the features from `keep`, or compute them into it."""
    file = keep / f"{root.name}-{style}-{px}-{most}.npz"
    if not file.exists():
        keep.mkdir(parents=True, exist_ok=True)
        np.savez(file, **domains(root, style, network, px, most))
    return dict(np.load(file))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--keep", type=Path, default=Path("features"))
    parser.add_argument("--styles", nargs="+", default=list(STYLES), choices=list(STYLES))
    parser.add_argument("--px", type=int, default=128)
    parser.add_argument("--most", type=int, default=320, help="photos of each domain")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    for line in rows(given.sets, given.styles, given.seeds, given):
        print(line, flush=True)
