"""Cron expressions: minute, hour, day of the month, month and day of the week, as Debian's cron reads them (cronsim)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cronsim import CronSim, CronSimError

from raytl.errors import ConfigError

_FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, on a day that the month has",
    "month": "1 to 12 or jan to dec",
    "day-of-week": "0 to 7 or sun to sat",
}
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_MAX_CHARACTERS = 1000
_ANY_TIME = datetime(2000, 1, 1)


@dataclass(frozen=True)
class Schedule:
    """The times of a valid cron `expression`; see `schedule`."""

    expression: str

    def after(self, now: datetime) -> datetime:
        """Return the first due minute after `now`, in wall-clock time without a time zone.

        Raises:
            ConfigError: there is none within 50 years.
        """
        try:
            return next(CronSim(self.expression, now))
        except StopIteration:
            raise ConfigError(f"--watch {self.expression!r}: no such time within 50 years") from None


def schedule(text: str) -> Schedule:
    """Return the schedule of a cron expression such as `0 6 * * mon-fri` or `@daily`.

    Raises:
        ConfigError: the expression is invalid; names the field.
    """
    expression = _ALIASES.get(text.strip().lower(), text)
    if len(text) > _MAX_CHARACTERS:
        raise ConfigError(f"--watch: found {len(text):,} characters, expected {_MAX_CHARACTERS:,} at most")
    fields = expression.split()
    if len(fields) != len(_FIELDS):
        raise ConfigError(
            f"--watch {text!r}: found {len(fields)} fields; expected minute, hour, day of the month, month and day of the week, "
            "such as '0 6 * * *'"
        )
    try:
        CronSim(expression, _ANY_TIME)
    except CronSimError as error:
        name = str(error).removeprefix("Bad ")
        field = dict(zip(_FIELDS, fields, strict=True)).get(name, expression)
        raise ConfigError(f"--watch {text!r}: bad {name} {field!r}; expected {_FIELDS.get(name, 'numbers')}") from error
    return Schedule(expression)
