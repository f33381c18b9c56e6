"""Nothing that is fetched is a setting of this machine: not a run's experiment, not a version's, not a sweep's study."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from raytl.cluster import session
from raytl.data.bit_depth import SIXTEEN_BITS
from raytl.errors import DataError, NotFound, RunError, Unavailable
from raytl.evaluation.evaluate import evaluate
from raytl.evaluation.predict import predict
from raytl.events import Message, Recorder
from raytl.registry.reader import folder_of
from raytl.registry.record import Record
from raytl.retraining import context
from raytl.retraining.after import after_tick
from raytl.retraining.page.write import _picture
from raytl.retraining.tick import TickFailed
from raytl.retraining.ticks import Tick, write_tick
from raytl.run import RunFolder, journal
from raytl.search.protocol import EpochScores, TrialResult
from tests.cli.conftest import Raytl, raytl  # noqa: F401 - a fixture
from tests.conftest import MakePhotos
from tests.evaluation.conftest import run  # noqa: F401 - a fixture
from tests.retraining.conftest import Days, MakeDays, make_days  # noqa: F401 - a fixture
from tests.search.test_study import opened
from tests.search.test_study import run as run_study
from tests.security.test_secrets import holding

MARK = "m4rk3d"


class Canary:
    """A web server on this machine that notes every request and finds nothing."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        canary = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                canary.requests.append(f"{self.command} {self.path} {dict(self.headers)} {body.decode()}")
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_HEAD = do_PUT = do_POST = answer

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def make_canary() -> Iterator[Callable[[], Canary]]:
    """Makes servers that run until the test ends."""
    made: list[Canary] = []

    def make() -> Canary:
        made.append(Canary())
        threading.Thread(target=made[-1].server.serve_forever, args=(0.01,), daemon=True).start()
        return made[-1]

    yield make
    for canary in made:
        canary.server.shutdown()
        canary.server.server_close()


@pytest.fixture
def head() -> Iterator[tuple[str, list[bytes]]]:
    """The address of something that listens as a Ray head might, and what it was sent first by each that connected."""
    said: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.settimeout(0.2)
                        with suppress(OSError):
                            said.append(connection.recv(4096))

        threading.Thread(target=listen, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}", said


def _rewrite(run: RunFolder, *changes: tuple[str, str]) -> None:  # noqa: F811
    """Change what the run says of itself, as whoever can write to its bucket may, with digests that match."""
    text = run.experiment.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    run.experiment.write_text(text)
    run.write_manifest({"epochs": 1})


def _warnings(watcher: Recorder) -> list[str]:
    return [event.text for event in watcher.events if isinstance(event, Message) and event.level == "warning"]


# a. a version's experiment reads no environment


def _poisoned(days: Days, monkeypatch: pytest.MonkeyPatch) -> Record:
    """A champion like the first version, whose model is named by a secret of whoever reads it."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", MARK)
    registry = days.registry
    first = registry.record(1)
    stage = days.photos.parent / "stage"
    shutil.copytree(folder_of(registry, first), stage)
    text = (stage / "experiment.yaml").read_text()
    (stage / "experiment.yaml").write_text(text.replace("name: test_resnet", "name: ${AWS_SECRET_ACCESS_KEY}"))
    record = registry.publish(stage, first.about)
    registry.promote(record.number, registry.state(), "somebody", "better")
    return record


def test_a_version_that_names_a_secret_of_the_environment_does_not_get_it(
    make_days: MakeDays,  # noqa: F811
    raytl: Raytl,  # noqa: F811
    make_canary: Callable[[], Canary],
    monkeypatch: pytest.MonkeyPatch,
    own_cache: Path,
) -> None:
    hook = make_canary()
    monkeypatch.setenv("HOOK", hook.url)
    days = make_days().where(retrain__notify__webhook_env="HOOK")
    days.tick()
    _poisoned(days, monkeypatch)
    days.add(10)
    watcher = Recorder()
    with pytest.raises(TickFailed, match=r"model\.name: found '\$\{AWS_SECRET_ACCESS_KEY\}'") as caught:
        days.tick(watcher, after=after_tick(days.experiment, watcher))
    assert len(hook.requests) == 1
    diff = raytl("models", "diff", days.registry.uri, "1", "2")
    assert (diff.code, diff.out) == (2, "")
    assert "experiment.yaml of version 2" in diff.err
    assert "model.name: found '${AWS_SECRET_ACCESS_KEY}'" in diff.err
    said = [str(caught.value), diff.err, *hook.requests, *map(str, watcher.events)]
    assert not [text for text in said if MARK in text]
    assert holding([days.photos.parent, own_cache]) == []


def test_a_tick_publishes_its_own_run_whatever_its_record_says(
    make_days: MakeDays,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    days = make_days()

    def elsewhere(store: Any, tick: Tick, where: str = "ticks/") -> None:
        write_tick(store, tick, where)
        if tick.stage == "trained":
            raise KeyboardInterrupt

    monkeypatch.setattr(context, "write_tick", elsewhere)
    with pytest.raises(KeyboardInterrupt):
        days.tick()
    monkeypatch.undo()
    store = days.registry.store
    (key,) = [info.key for info in store.list("ticks/")]
    value = json.loads(store.get_bytes(key))
    private = days.photos.parent / "private"
    shutil.copytree(value["run"], private)
    (private / "skipped.jsonl").write_text(f'{{"key": "{MARK}", "reason": "private"}}\n')
    store.put_bytes(key, json.dumps({**value, "run": str(private)}).encode())
    days.tick()
    shutil.rmtree(private)
    assert days.registry.state().champion == 1
    assert holding([days.photos.parent / "models"]) == []


def test_a_page_shows_no_photo_that_was_not_compared_on(tmp_path: Path, make_photos: MakePhotos) -> None:
    photo = make_photos(1) / "red" / "000.jpg"
    digest = hashlib.sha256(photo.read_bytes()).hexdigest()
    assert _picture(str(photo), digest, 10**6, SIXTEEN_BITS).startswith("data:image/jpeg;base64,")
    assert _picture(str(photo), "0" * 64, 10**6, SIXTEEN_BITS) == ""


# b. a run names no cluster


def test_a_run_that_names_a_cluster_does_not_make_evaluate_connect_to_it(
    run: RunFolder,  # noqa: F811
    head: tuple[str, list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, said = head
    _rewrite(run, ("cluster: local", f"cluster: {address}"))
    monkeypatch.setenv("RAY_AUTH_TOKEN", MARK * 8)
    monkeypatch.setenv("RAY_gcs_rpc_server_connect_timeout_s", "1")
    real = session._start

    def started(cluster: str, temporary: Path | None, modules: tuple[str, ...]) -> None:
        if temporary is not None:
            raise Unavailable("an embedded Ray would start here")
        real(cluster, temporary, modules)

    monkeypatch.setattr(session, "_start", started)
    watcher = Recorder()
    with pytest.raises(Unavailable, match="an embedded Ray would start here"):
        evaluate(run.root, split="val", workers=2, resamples=20, on_event=watcher)
    assert said == []
    assert _warnings(watcher) == [
        f"the run was made with compute.cluster {address}; ignored, because a run changes no setting of this machine; "
        f"pass --set compute.cluster={address} to use it"
    ]


# c. a run names no endpoint and no credentials


def test_a_run_that_names_an_endpoint_and_a_profile_gets_no_signed_request(
    run: RunFolder,  # noqa: F811
    make_canary: Callable[[], Canary],
    raytl: Raytl,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hostile, own = make_canary(), make_canary()
    (tmp_path / "credentials").write_text(
        f"[victim]\naws_access_key_id = {MARK}\naws_secret_access_key = x\n"
        "[default]\naws_access_key_id = mine\naws_secret_access_key = x\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", own.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    records = [{**record, "path": f"s3://data/{record['key']}"} for record in journal.read(run.samples)]
    run.samples.write_text("".join(json.dumps(record) + "\n" for record in records))
    _rewrite(run, ("endpoint_url: null", f"endpoint_url: {hostile.url}"), ("profile: null", "profile: victim"))
    watcher = Recorder()
    with pytest.raises(DataError, match="is no longer in its bucket"):
        evaluate(run.root, resamples=20, on_event=watcher)
    assert hostile.requests == []
    assert own.requests
    assert not [request for request in own.requests if MARK in request]
    assert _warnings(watcher) == [
        f"the run was made with storage.endpoint_url {hostile.url}, storage.profile victim; ignored, because a run "
        f"changes no setting of this machine; pass --set storage.endpoint_url={hostile.url} --set storage.profile=victim to use them"
    ]
    own.requests.clear()
    done = raytl("evaluate", run.root, "--set", f"storage.endpoint_url={own.url}", "--set", "storage.profile=default")
    assert done.code == 2
    assert "is no longer in its bucket" in done.err
    assert own.requests
    assert hostile.requests == []


def test_predict_follows_no_limit_of_a_run(
    run: RunFolder,  # noqa: F811
    raytl: Raytl,  # noqa: F811
    tmp_path: Path,
) -> None:
    _rewrite(run, ("max_pixels: 64000000", "max_pixels: 1"))
    photo = next(tmp_path.glob("photos/blue/*.jpg"))
    watcher = Recorder()
    assert len(predict(run.root, photo, on_event=watcher).paths) == 1
    assert _warnings(watcher) == [
        "the run was made with data.max_pixels 1; ignored, because a run changes no setting of this machine; "
        "pass --set data.max_pixels=1 to use it"
    ]
    done = raytl("predict", run.root, photo, "--set", "data.max_pixels=1")
    assert done.code == 2
    assert "none of 1 photos could be read" in done.err


def test_a_pipe_among_the_images_of_a_run_is_not_waited_for(run: RunFolder) -> None:  # noqa: F811
    place = Path(next(record["path"] for record in journal.read(run.samples) if record["split"] == "val"))
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(DataError, match="is not a regular file"):
        evaluate(run.root, split="val", resamples=20)


# d. a study overrides what its space varies


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            {"optim.lr": 1e-3, "storage.uri": "s3://else/where"},
            r"storage\.uri: not a key of the search space; expected",
        ),
        ({"compute.cluster": "host:1"}, r"compute\.cluster: not a key of the search space"),
        ({"model.weights": "/etc/passwd"}, r"model\.weights: not a key of the search space"),
        ({"optim.lr": 1e3}, r"optim\.lr: found 1000\.0; expected 0\.0001 to 0\.01"),
        ({"optim.lr": "fast"}, r"optim\.lr: found 'fast'"),
        ({"augment.strength": True}, r"augment\.strength: found True; expected 0 \| 0\.25"),
        ({"transfer.unfreeze": 0, "transfer.lr_decay": 0.5}, r"transfer\.lr_decay: given, and its condition"),
    ],
)
def test_a_study_overrides_only_what_its_space_varies(overrides: dict[str, Any], said: str, tmp_path: Path) -> None:
    run_study(opened(tmp_path, trials=2))
    _edit_study(tmp_path, "overrides", overrides)
    with pytest.raises(RunError, match=rf"trial 0: {said}"):
        opened(tmp_path, trials=2).records()


@pytest.mark.parametrize("folder", ["..", "x/.."])
def test_a_trial_lies_below_the_sweeps_folder(folder: str, tmp_path: Path) -> None:
    study = opened(tmp_path, trials=1)
    suggestion = study.ask()
    assert suggestion is not None
    result = TrialResult("complete", EpochScores(1, {"val/balanced_accuracy": 0.5}), folder="runs/trials/trial-00000-0")
    study.report(suggestion.number, result)
    study.tell(suggestion.number, "complete", result)
    _edit_study(tmp_path, "folder", folder)
    with pytest.raises(RunError, match=r"trial 0: folder: found .*; expected a folder below"):
        opened(tmp_path, trials=1).records()


def _edit_study(folder: Path, name: str, value: Any) -> None:
    """Have trial 0 say something else in the journal, as whoever can write to a sweep's bucket may."""
    path = folder / "study.log"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line.get("trial_id") == 0 and name in line.get("user_attr", {}):
            line["user_attr"] = {name: value}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


# the token


def test_a_token_goes_only_to_a_job_server_that_was_named(
    make_canary: Callable[[], Canary], monkeypatch: pytest.MonkeyPatch
) -> None:
    from raytl.jobs.client import Jobs

    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    canary = make_canary()
    monkeypatch.setattr("raytl.jobs.client.LOCAL", canary.url)
    with pytest.raises((NotFound, Unavailable, RuntimeError), match=r"."):
        Jobs(None, MARK)
    assert canary.requests
    assert not [request for request in canary.requests if MARK in request]
    with pytest.raises((NotFound, Unavailable, RuntimeError), match=r"."):
        Jobs(canary.url, MARK)
    assert MARK in canary.requests[-1]
