"""The round trip of wrong labels, on real photos with planted errors: train, rank, correct, retrain, promote.

    python -m experiments.label_round_trip PHOTOS WEIGHTS FOLDER [--wrong 0.3] [--per-class 80] [--image-px 96]

`PHOTOS` has train/, val/ and test/ with class folders, and `WEIGHTS` is a file of mobilenetv2_100. Of each class, at most
`--per-class` training photos and half as many validation photos are taken, and a fraction of the training labels is changed at
random. An oracle plays the person: it fills in the true label of every listed image, confirms the ones that are right, and
never looks at any other. The output is Markdown.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

import raytl
from raytl.labelling.sheet import TABLE

FRAME = """\
name: round-trip
data: {{uri: {table}}}
labels: {{noise: rank, relabel: {corrections}}}
model: {{name: mobilenetv2_100, weights: {weights}, preprocess: {{image_px: {image_px}}}}}
transfer: {{unfreeze: 0, head_start: solved}}
train: {{epochs: 4}}
compute: {{cluster: none, device: cpu}}
storage: {{uri: {folder}/runs}}
retrain:
  registry: {folder}/models
  when: {{new_samples: 20}}
  how: {{start_from: model, recipe: experiment}}
  gate: {{metric: accuracy}}
"""


@dataclass(frozen=True)
class Planted:
    """The true class of each image by key, and the keys of the training images with another label."""

    truth: dict[str, str]
    wrong: frozenset[str]


def planted(photos: Path, table: Path, wrong: float, per_class: int, seed: int) -> Planted:
    """Write a manifest of the photos, with a fraction of the training labels changed at random."""
    draw, rows = random.Random(seed), []
    for split in ("train", "val", "test"):
        for folder in sorted((photos / split).iterdir()):
            files = sorted(folder.glob("*.*"))
            rows += [
                (file.resolve(), split, folder.name) for file in (files[:per_class] if split == "train" else files)
            ]
    classes = sorted({name for _, _, name in rows})
    truth, changed = {}, set()
    with table.open("w", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(("path", "label", "split"))
        for file, split, name in rows:
            key = _key(file, table)
            truth[key], label = name, name
            if split == "train" and draw.random() < wrong:
                label = draw.choice([each for each in classes if each != name])
                changed.add(key)
            out.writerow((file, label, split))
    return Planted(truth, frozenset(changed))


def _key(file: Path, table: Path) -> str:
    return Path(os.path.relpath(file, table.parent.resolve())).as_posix()


def filled(listed: Path, truth: dict[str, str]) -> Path:
    """Fill in the table as a person who knows every class would."""
    with listed.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row |= {"label": truth[row["key"]], "who": "oracle", "why": "looked at the photo"}
    out = listed.with_name("filled.csv")
    with out.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return out


def main() -> None:
    """Run the round trip and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wrong", type=float, default=0.3)
    parser.add_argument("--per-class", type=int, default=80)
    parser.add_argument("--image-px", type=int, default=96)
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    table, corrections = folder / "photos.csv", folder / "corrections.csv"
    plants = planted(options.photos, table, options.wrong, options.per_class, seed=0)
    text = FRAME.format(
        table=table,
        corrections=corrections,
        weights=options.weights.resolve(),
        image_px=options.image_px,
        folder=folder,
    )
    (folder / "experiment.yaml").write_text(text)
    experiment = raytl.load_experiment(folder / "experiment.yaml")
    assert yaml.safe_load(text)["name"] == experiment.name
    now, began = datetime.now(UTC), time.monotonic()
    train = sum("/train/" in key for key in plants.truth)
    print(f"- planted: {len(plants.wrong)} of {train} training labels are wrong")
    first = raytl.retrain(experiment, now=now)
    _print_tick("first tick", first)
    before = raytl.plan(experiment).dataset.snapshot
    doubtful = raytl.doubtful_labels(experiment, out=folder / "labels")
    hits = [each.key in plants.wrong for each in doubtful.listed if each.split == "train"]
    print(f"- `raytl labels`: {doubtful.sentence}")
    print(f"- of the {len(hits)} training images listed, {sum(hits)} are planted; of the first 100, {sum(hits[:100])}")
    fixes = raytl.apply_fixes(experiment, filled(folder / "labels" / TABLE, plants.truth))
    print(
        f"- `raytl labels --apply`: {fixes.relabelled} relabelled, {fixes.confirmed} confirmed, {fixes.total} corrections stored"
    )
    after = raytl.plan(experiment).dataset.snapshot
    print(f"- snapshot {before} before, {after} with the corrections")
    second = raytl.retrain(experiment, now=now + timedelta(hours=1))
    _print_tick("second tick", second)
    print(f"- {time.monotonic() - began:.0f} s")


def _print_tick(name: str, result: raytl.Retraining) -> None:
    tick = result.tick
    assert tick is not None, "no other tick holds the lease"
    relabelled = "" if tick.changes is None else f", {tick.changes.relabelled_count} relabelled"
    print(
        f"- {name}: {tick.outcome}, version {tick.version}{relabelled}, {len(tick.doubtful)} doubtful labels on its page"
    )
    print("\n".join(f"    - {reason}" for reason in tick.reasons))


if __name__ == "__main__":
    main()
