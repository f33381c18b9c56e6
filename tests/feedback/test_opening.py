"""What `raytl serve --feedback` and its options open."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from raytl.errors import ConfigError, UserError
from raytl.feedback.opening import FeedbackOptions, open_recorder
from raytl.feedback.reading import read_records
from raytl.store.local import LocalStore
from tests.feedback.made import photo


def test_the_options_reach_the_recorder_and_redaction_comes_from_the_environment(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read() + b'!')"
    environment = {"RAYTL_REDACT": f'{sys.executable} -c "{code}"'}
    recorder = open_recorder(FeedbackOptions(str(tmp_path), images=1), environment=environment, server="8000")
    for number in range(9):
        recorder.add(photo(number), {"label": "a", "confidence": 0.5}, None, "1")
    recorder.close()
    records = read_records(LocalStore(tmp_path))
    assert len(records) == 2 and recorder.counts.stored == 2
    assert all((tmp_path / each.key).read_bytes().endswith(b"!") for each in records)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"images": 0}, "--feedback-images 0: expected 1 to 1000"),
        ({"window_s": 1.0}, "--feedback-window 1: expected 10 or more"),
        ({"days": 0.0}, "--feedback-days 0"),
        ({"max_gb": -1.0}, "--feedback-gb -1"),
    ],
)
def test_numbers_out_of_range_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        FeedbackOptions("x", **given)


def test_an_empty_redaction_is_refused_rather_than_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--redact is empty"):
        open_recorder(FeedbackOptions(str(tmp_path), redact=" "), server="8000")


def test_servers_of_one_host_do_not_replace_the_records_of_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "h" * 200)
    for port in (8000, 8001):
        recorder = open_recorder(FeedbackOptions(str(tmp_path)), server=str(port))
        recorder.add(photo(port), {"label": "a", "confidence": 0.5}, None, "1")
        recorder.close()
    names = sorted(info.key[len("records/20261102T120000Z-") :] for info in LocalStore(tmp_path).list("records/"))
    assert names == ["h" * 70 + "-8000.jsonl", "h" * 70 + "-8001.jsonl"]
