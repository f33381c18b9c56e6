"""The table of defaults, from its rows.

python -m experiments.defaults.table [ROWS]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import mean

from experiments.defaults.rows import FILE, Row, load

CONTENDERS = ("raytl", "fastai", "timm")
"""Those with equal steps in one environment. AutoGluon, which has its own, is compared where it ran."""
EXTRA = "autogluon"
NAMES = {"mobilenetv2_100": "MobileNetV2", "vit_tiny_patch16_224": "ViT-tiny"}
UNSEEN = ("cells", "insects")
"""The sets on which no rule of the recipe was chosen."""

Contest = Mapping[str, Row]
"""The row of each contender, on one set with one model."""


def table(rows: Iterable[Row]) -> str:
    """Return Markdown: means by images a class and model, and who is ahead by more than noise; then each contest that raytl
    does not win."""
    by_contest: dict[tuple[str, int, int, str], dict[str, Row]] = {}
    for row in rows:
        by_contest.setdefault(row.contest, {})[row.contender] = row
    whole = {key: contest for key, contest in sorted(by_contest.items()) if {*CONTENDERS} <= {*contest}}
    lines = ["| images a class | model | " + " | ".join(CONTENDERS) + " | runs of each |", "|---" * 6 + "|"]
    for size, model in sorted({(key[1], key[3]) for key in whole}):
        lines.append(_line(f"{size} | {NAMES[model]}", [c for k, c in whole.items() if (k[1], k[3]) == (size, model)]))
    lines.append(_line("all | both", list(whole.values())))
    lines.append(_line(f"all, {' and '.join(UNSEEN)} | both", [c for k, c in whole.items() if k[0] in UNSEEN]))
    lines += ["", *(line for other in (*CONTENDERS[1:], EXTRA) for line in _against(other, by_contest.values())), ""]
    return "\n".join([*lines, *(line for key, contest in whole.items() for line in _behind(key, contest))])


def noise(row: Row) -> float:
    """Return two standard errors of an accuracy, in percent."""
    share = row.accuracy / 100
    return 200 * math.sqrt(max(share * (1 - share), 0.25 / row.images) / row.images)


def _line(title: str, contests: list[Contest]) -> str:
    return f"| {title} | " + " | ".join(_cell(name, contests) for name in CONTENDERS) + f" | {len(contests)} |"


def _cell(name: str, contests: list[Contest]) -> str:
    if not contests:
        return "–"
    rank = mean(
        1 + sum(contest[other].accuracy > contest[name].accuracy for other in CONTENDERS) for contest in contests
    )
    accuracy, ece = (mean(getattr(contest[name], what) for contest in contests) for what in ("accuracy", "ece"))
    return f"{accuracy:.1f} ({rank:.2f}, {ece:.1f})"


def _against(other: str, contests: Iterable[Contest]) -> list[str]:
    """Return how often raytl wins against another beyond noise, and how often it loses, if the two ever met."""
    leads = [(c["raytl"].accuracy - c[other].accuracy, noise(c["raytl"])) for c in contests if {"raytl", other} <= {*c}]
    if not leads:
        return []
    won, lost = (sum(sign * lead > limit for lead, limit in leads) for sign in (1, -1))
    ahead, behind = (sum(sign * lead > 0 for lead, _ in leads) for sign in (1, -1))
    return [
        f"{other}: of {len(leads)}, raytl wins {won} and loses {lost} by more than two standard errors; ahead in {ahead}, "
        f"behind in {behind}, {mean(lead for lead, _ in leads):+.1f} points on average."
    ]


def _behind(key: tuple[str, int, int, str], contest: Contest) -> list[str]:
    own = contest["raytl"]
    return [
        f"- {key[0]}, {key[1]} images a class, {NAMES[key[3]]}, seed {key[2]}: {own.accuracy:.1f}, {name} {row.accuracy:.1f}"
        + (" (beyond noise)" if row.accuracy - own.accuracy > noise(own) else "")
        for name, row in contest.items()
        if row.accuracy > own.accuracy
    ]


if __name__ == "__main__":
    print(table(load(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)))
