"""Write a data set of drawn scenes: `python -m experiments.scenes scenes/ --format labels`."""

from __future__ import annotations

import argparse
from itertools import count
from pathlib import Path

from experiments.scenes.draw import scene
from experiments.scenes.files import FORMATS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.scenes", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the data set is written")
    parser.add_argument("--format", choices=FORMATS, default="labels")
    parser.add_argument("--seed", type=int, default=0)
    for split, default in (("train", 600), ("val", 200), ("test", 300)):
        parser.add_argument(f"--{split}", type=int, default=default, help=f"scenes for {split} ({default})")
    options = parser.parse_args()
    numbers = count()
    splits = {
        split: [scene(options.seed, next(numbers)) for _ in range(getattr(options, split))]
        for split in ("train", "val", "test")
    }
    FORMATS[options.format](splits, options.folder)


if __name__ == "__main__":
    main()
