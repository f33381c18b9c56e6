"""When the next tick is due, by a cron expression: minute, hour, day of the month, month, day of the week. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from raytl.errors import ConfigError

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_NAMES = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "weekday": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
_FIRST = {"month": 1, "weekday": 0}
_SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_MOST_DAYS = 8 * 366
"""29 February comes back within so many days."""


@dataclass(frozen=True)
class Schedule:
    """The minutes, hours, days, months and weekdays (0 = Sunday) that an expression names.

    As cron has it, a day counts if its number or its weekday does, where both are restricted.
    """

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def after(self, now: datetime) -> datetime:
        """The first minute later than `now` that is due, in the zone of `now`.

        Raises:
            ConfigError: there is none, as of 31 February.
        """
        start = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        for ahead in range(_MOST_DAYS):
            day = (start + timedelta(days=ahead)).replace(hour=0, minute=0) if ahead else start
            if not self._has(day):
                continue
            for hour in sorted(hour for hour in self.hours if hour >= day.hour):
                least = day.minute if hour == day.hour else 0
                if minutes := [minute for minute in self.minutes if minute >= least]:
                    return day.replace(hour=hour, minute=min(minutes))
        raise ConfigError(f"--watch {self.text!r}: no such day comes within eight years; expected one that does")

    def _has(self, day: datetime) -> bool:
        by_number, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (by_number or by_weekday if self.either_day else by_number and by_weekday)


def schedule(text: str) -> Schedule:
    """The schedule that a cron expression names, such as `0 6 * * mon-fri` or `@daily`.

    Raises:
        ConfigError: it is none; with the field that is wrong.
    """
    words = _SHORT.get(text.strip().lower(), text).split()
    if len(words) != len(_FIELDS):
        raise ConfigError(
            f"--watch {text!r}: found {len(words)} fields; expected minute, hour, day, month and weekday, such as '0 6 * * *'"
        )
    sets = [_values(text, word.lower(), *field) for word, field in zip(words, _FIELDS, strict=True)]
    weekdays = frozenset(value % 7 for value in sets[4])
    either = not words[2].startswith("*") and not words[4].startswith("*")
    return Schedule(text, sets[0], sets[1], sets[2], sets[3], weekdays, either)


def _values(text: str, word: str, name: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in word.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        try:
            every = int(step) if slash else 1
            start = low if span == "*" else _number(name, first)
            end = high if span == "*" or (slash and not dash) else _number(name, last) if dash else start
            if every < 1 or not low <= start <= end <= high:
                raise ValueError
        except ValueError:
            raise ConfigError(
                f"--watch {text!r}: the {name} {part!r} is none; expected numbers from {low} to {high}, such as "
                f"{low}, {low}-{high}, */2 or *"
            ) from None
        found |= set(range(start, end + 1, every))
    return frozenset(found)


def _number(name: str, word: str) -> int:
    names = _NAMES.get(name, ())
    return names.index(word[:3]) + _FIRST[name] if word[:3] in names else int(word)
