"""The next due minute of cron expressions."""

from __future__ import annotations

from datetime import datetime

import pytest

from raytl.errors import ConfigError
from raytl.retraining.cron import schedule

NOW = datetime(2026, 11, 21, 19, 30, 15)  # a Saturday


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("* * * * *", "2026-11-21 19:31"),
        ("*/15 * * * *", "2026-11-21 19:45"),
        ("30 19 * * *", "2026-11-22 19:30"),
        ("0 6 * * *", "2026-11-22 06:00"),
        ("0 6 * * mon-fri", "2026-11-23 06:00"),
        ("0 6 * * 1", "2026-11-23 06:00"),
        ("0 6 * * 7", "2026-11-22 06:00"),
        ("15,45 8-10/2 1 * *", "2026-12-01 08:15"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 13 * fri", "2026-11-27 00:00"),
        ("0 12 31 dec *", "2026-12-31 12:00"),
        ("59 23 * * *", "2026-11-21 23:59"),
        ("@daily", "2026-11-22 00:00"),
        ("@hourly", "2026-11-21 20:00"),
        ("@monthly", "2026-12-01 00:00"),
    ],
)
def test_the_next_minute_that_is_due(text: str, due: str) -> None:
    assert schedule(text).after(NOW) == datetime.fromisoformat(due)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("0 6 * *", "found 4 fields; expected minute, hour, day of the month, month and day of the week"),
        ("60 * * * *", "bad minute '60'; expected 0 to 59"),
        ("0 6 * * someday", "bad day-of-week 'someday'; expected 0 to 7 or sun to sat"),
        ("0 10-6 * * *", "bad hour '10-6'"),
        ("*/0 * * * *", r"bad minute '\*/0'"),
        ("0 0 31 2 *", "bad day-of-month '31'; expected 1 to 31, on a day that the month has"),
        ("soon", "found 1 fields"),
        ("0 0 6 * * *", "found 6 fields"),
    ],
)
def test_a_bad_expression_is_an_error_that_names_the_field(text: str, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        schedule(text)


def test_an_expression_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(ConfigError, match="found 5,008 characters, expected 1,000 at most"):
        schedule("9" * 5000 + " * * * *")


def test_a_day_that_never_comes_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no such time within 50 years"):
        schedule("0 0 */30 2 mon#5").after(NOW)
