"""Aims of a report, from text: `accuracy>=0.95` (of what is answered; `precision` for findings) and `trash>=0.9` (the recall of
a class)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from raytl.errors import UserError
from raytl.stored.bounds import Bound, Name


@dataclass(frozen=True, slots=True)
class Aim:
    """At least the fraction `value` of the answered images are right, or of the images of `recall_of` are recognized."""

    value: Annotated[float, Bound("a fraction between 0 and 1", lambda value: 0 < value < 1)]
    recall_of: Name | None = None

    @property
    def text(self) -> str:
        """Return the aim in words."""
        if self.recall_of is None:
            return f"{100 * self.value:.4g} % right of what is answered"
        return f"recall of {self.recall_of!r} at least {100 * self.value:.4g} %"


def aims(
    require: Sequence[str], recall: Sequence[str], classes: Sequence[str], required: str = "accuracy"
) -> tuple[Aim, ...]:
    """Return the aims of the options `--require` and `--recall`; `required` is the score that the first one takes.

    Raises:
        UserError: one cannot be read; all are named.
    """
    result: list[Aim] = []
    problems: list[str] = []
    for option, texts, names in (("--require", require, (required,)), ("--recall", recall, tuple(classes))):
        for text in texts:
            name, value = _parts(text)
            if value is None or not 0 < value < 1:
                problems.append(f"{option} {text!r}: expected NAME>=FRACTION with a fraction between 0 and 1")
            elif name not in names:
                expected = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
                problems.append(f"{option} {text!r}: there is no {name!r}; expected one of {expected}")
            else:
                result.append(Aim(value, name if option == "--recall" else None))
    if problems:
        raise UserError("\n".join(problems))
    return tuple(dict.fromkeys(result))


def texts(value: str | Sequence[str]) -> tuple[str, ...]:
    """Return the texts of an option that is given once or several times."""
    return (value,) if isinstance(value, str) else tuple(value)


def _parts(text: object) -> tuple[str, float | None]:
    if not isinstance(text, str):  # from Python, where nothing checks the type
        return repr(text), None
    name, sign, value = text.rpartition(">=")
    try:
        return name.strip(), float(value) if sign else None
    except ValueError:
        return name.strip(), None
