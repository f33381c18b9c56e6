"""When the next tick is due."""

from __future__ import annotations

from datetime import datetime

import pytest

from raytl.errors import ConfigError
from raytl.retrain.cron import schedule

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
    ("text", "told"),
    [
        ("0 6 * *", "found 4 fields; expected minute, hour, day, month and weekday"),
        ("60 * * * *", "the minute '60' is none; expected numbers from 0 to 59"),
        ("0 6 * * someday", "the weekday 'someday' is none"),
        ("0 10-6 * * *", "the hour '10-6' is none"),
        ("*/0 * * * *", r"the minute '\*/0' is none"),
        ("soon", "found 1 fields"),
    ],
)
def test_what_is_no_expression_is_told(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        schedule(text)


def test_a_day_that_never_comes_is_told() -> None:
    with pytest.raises(ConfigError, match="no such day comes within eight years"):
        schedule("0 0 31 2 *").after(NOW)
