"""A problem of an experiment as a value, and one error text for all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raytl.errors import ConfigError
from raytl.sanitize import redacted


@dataclass(frozen=True, slots=True)
class Problem:
    """The fault at a key, `where` it is (`file:line` or `--set a.b`), and the `advice` to fix it."""

    where: str
    key: str
    fault: str
    advice: str = ""

    @property
    def text(self) -> str:
        """Return the problem on one line and the advice on a second."""
        is_named = not self.key or self.where.endswith(f" {self.key}")
        place = self.where if is_named else f"{self.where}: {self.key}"
        return f"{place}: {self.fault}" + (f"\n    -> {self.advice}" if self.advice else "")


def config_error(name: str, problems: Sequence[Problem]) -> ConfigError:
    """Return one error with all problems of the experiment `name`."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return ConfigError(redacted("\n".join([f"{name}: {count}", *(f"  {problem.text}" for problem in problems)])))


def near_miss(word: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `word` probably stands for; None if nothing is close."""
    by_plain = {_plain(name): name for name in names}
    if (exact := by_plain.get(_plain(word))) is not None:
        return exact
    matches = difflib.get_close_matches(_plain(word), by_plain, n=1, cutoff=0.6)
    return by_plain[matches[0]] if matches else None


def _plain(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "").replace(" ", "")
