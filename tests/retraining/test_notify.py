"""The webhook gets the outcome; its URL never appears anywhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from raytl.config.retrain import NotifyConfig
from raytl.config.schema import Experiment
from raytl.errors import Unavailable
from raytl.events import Message, Recorder, ignore
from raytl.retraining import context, steps
from raytl.retraining import tick as ticking
from raytl.retraining.after import after_tick
from raytl.retraining.gate import Promote
from raytl.retraining.notify import notify, webhook_payload
from raytl.retraining.policy import Train
from raytl.retraining.tick import TickFailed, retrain
from raytl.retraining.ticks import Tick
from raytl.store import s3
from tests.retraining.conftest import MakeDays

TICK = Tick(
    "20261121T060000Z-abcd", "2026-11-21T06:00:00+00:00", "me", "done", "promote", champion=4, version=5,
    verdict=Promote(("accuracy <90> -> 93 %",), ("class 'glass'",)),
)  # fmt: skip
CONFIG = NotifyConfig(webhook_env="HOOK")


class Hook:
    """A server that keeps what it is sent, and answers `status`."""

    def __init__(self) -> None:
        self.status, self.got = 200, list[dict[str, Any]]()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append({"path": self.path, "type": self.headers["Content-Type"], **json.loads(body)})
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/secret-token"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    made = Hook()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("HOOK", made.url)
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_the_message_says_what_and_why_and_is_escaped() -> None:
    said = webhook_payload(TICK, "trash", "s3://b/m")
    assert said["text"] == "trash: :tada: version 5 is the new champion"
    text = said["blocks"][0]["text"]["text"]
    assert "• accuracy &lt;90&gt; -&gt; 93 %" in text
    assert "worse: class 'glass'" in text
    failed = webhook_payload(
        replace(TICK, outcome="failure", error="no http://me:pass@bucket", verdict=None), "trash", "s3://b/m"
    )
    assert "• no http://me:***@bucket" in failed["blocks"][0]["text"]["text"]


def test_the_webhook_gets_the_configured_outcomes(hook: Hook) -> None:
    assert notify(TICK, "trash", "s3://b/m", CONFIG, Recorder())
    assert not notify(replace(TICK, outcome="keep"), "trash", "s3://b/m", CONFIG, Recorder())
    assert not notify(TICK, "trash", "s3://b/m", NotifyConfig(), Recorder())
    assert [(each["path"], each["type"]) for each in hook.got] == [("/secret-token", "application/json")]


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        (None, 403, "the webhook of HOOK returned status 403"),
        ("http://127.0.0.1:9/secret-token", 0, "the webhook of HOOK failed"),
        ("", 0, "HOOK does not hold an http"),
        ("file:///etc/secret-token", 0, "HOOK does not hold an http"),
        ("http://[secret-token", 0, "the webhook of HOOK failed"),
    ],
)
def test_what_goes_wrong_is_a_warning_without_the_address(
    hook: Hook, url: str | None, status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.status = status or 200
    if url is not None:
        monkeypatch.setenv("HOOK", url)
    watcher = Recorder()
    assert not notify(TICK, "trash", "s3://b/m", CONFIG, watcher)
    [event] = watcher.events
    assert isinstance(event, Message)
    assert said in event.text
    assert "secret-token" not in event.text


def test_a_tick_with_an_unreachable_bucket_is_reported(
    hook: Hook, make_days: MakeDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("raytl.store.retry.time.sleep", lambda _: None)
    s3.forget_client()
    days = make_days("s3://bucket/models").where(retrain__notify={"webhook_env": "HOOK"})
    watcher = Recorder()
    with pytest.raises(TickFailed, match="Could not connect"):
        days.tick(dry_run=True, after=after_tick(days.experiment, watcher))
    assert hook.got == []
    with pytest.raises(TickFailed, match=r"Could not connect[\s\S]*nothing was recorded, and the next one"):
        days.tick(after=after_tick(days.experiment, watcher))
    s3.forget_client()
    [said] = hook.got
    assert said["text"].startswith("toy: :rotating_light: the tick could not begin; the next one tries again")
    assert 'Could not connect to the endpoint URL: "http://127.0.0.1:9/bucket' in said["blocks"][0]["text"]["text"]
    assert watcher.events == [], "no page is tried where it cannot be written"


@pytest.mark.parametrize(
    ("stage", "decision", "said"),
    [
        ("decided", None, "could not begin; the next one tries again"),
        ("decided", Train(("140 new images",), None), "was interrupted; the next one resumes it"),
        ("failed", None, "failed; the champion is unchanged"),
    ],
)
def test_a_tick_is_resumed_only_if_its_decision_is_recorded(stage: Any, decision: Train | None, said: str) -> None:
    tick = replace(TICK, stage=stage, outcome="failure", error="no answer", verdict=None, decision=decision)
    assert webhook_payload(tick, "trash", "s3://b/m")["text"] == f"trash: :rotating_light: the tick {said}"


@pytest.mark.parametrize("away", ["observing", "recording"])
def test_a_tick_that_was_not_recorded_is_not_resumed(
    away: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise Unavailable("the bucket is away")

    tick = replace(TICK, stage="decided", outcome="", verdict=None, decision=Train(("140 new images",), None))
    if away == "observing":
        monkeypatch.setattr(ticking, "_prepared", fails)
    else:
        monkeypatch.setattr(ticking, "_prepared", lambda experiment, _: experiment)
        monkeypatch.setattr(ticking, "begin", lambda given, _: given.save(tick))
        monkeypatch.setattr(context, "write_tick", fails)
    reported: list[Tick] = []
    experiment = Experiment(name="toy", data="photos", model="m", retrain={"registry": str(tmp_path / "models")})
    with pytest.raises(TickFailed, match="the bucket is away\n  The champion is unchanged; nothing was recorded"):
        retrain(experiment, after=lambda _, tick: reported.append(tick))
    assert [(each.over, each.decision) for each in reported] == [(False, None)]


def test_an_interrupted_tick_is_reported_and_so_is_its_end(
    hook: Hook, make_days: MakeDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = make_days().where(retrain__notify={"webhook_env": "HOOK"})
    after = after_tick(days.experiment, ignore)
    with monkeypatch.context() as patch:
        patch.setattr(steps, "train", lambda *_, **__: (_ for _ in ()).throw(Unavailable("the bucket is away")))
        with pytest.raises(TickFailed, match="the bucket is away"):
            days.tick(after=after)
    found = days.tick(after=after).tick
    assert found is not None
    assert [said["text"].split(";")[0] for said in hook.got] == [
        "toy: :rotating_light: the tick was interrupted",
        "toy: :tada: version 1 is the new champion",
    ]
    assert all(found.id in said["blocks"][1]["elements"][0]["text"] for said in hook.got)


def test_a_tick_that_is_interrupted_after_the_promotion_does_not_say_that_the_champion_is_unchanged(
    hook: Hook, make_days: MakeDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = make_days().where(retrain__notify={"webhook_env": "HOOK"})
    write = context.write_tick

    def away_at_the_end(store: Any, tick: Tick, *where: str) -> None:
        if tick.stage == "done":
            raise Unavailable("the bucket is away")
        write(store, tick, *where)

    monkeypatch.setattr(context, "write_tick", away_at_the_end)
    with pytest.raises(TickFailed, match="Version 1 may already be the champion; check with `raytl models list"):
        days.tick(after=after_tick(days.experiment, ignore))
    assert days.registry.state().champion == 1
    assert [said["text"] for said in hook.got] == [
        "toy: :rotating_light: the tick was interrupted; the next one resumes it"
    ]
