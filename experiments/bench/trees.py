"""The command line of benches that compare this tree with another one."""

from __future__ import annotations

import argparse
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]


def compared_trees(description: str | None) -> tuple[argparse.Namespace, dict[str, Path]]:
    """Return the command-line options, and the trees to measure: `now`, and `before` it the one of `--against`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another tree of raytl")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--weights", default="none", help="a file of MobileNetV2's weights")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    return options, {"before": options.against.resolve(), "now": HERE} if options.against else {"now": HERE}
