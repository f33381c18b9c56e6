"""`raytl serve`: its options, and its errors as exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raytl.cli.main import app
from raytl.feedback.opening import FeedbackOptions
from raytl.serving import driver
from raytl.serving.options import Replicas, ServeOptions
from tests.serving.bundles import write_bundle


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[ServeOptions]:
    """The options that a server would start with; it is ready at once."""
    options: list[ServeOptions] = []

    def serve(given: ServeOptions, on_event: object, on_ready: object) -> None:
        options.append(given)
        on_ready("http://127.0.0.1:1")  # type: ignore[operator]

    monkeypatch.setattr(driver, "serve", serve)
    return options


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["serve", *words])
    return done.exit_code, done.stdout, re.sub(r"\s+", " ", done.stderr)


def test_every_option_reaches_the_server(served: list[ServeOptions], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "a-token-of-24-characters")
    text = (
        "b --bundle int8 --name trash --host 0.0.0.0 --port 9 --threads 2 --workers 3 --token-env MINE --open-metrics "
        "--allow s3://a/b --allow s3://c --max-bytes 5000 --queue 7 --poll 5 --ray --address auto --replicas 1:4 "
        "--set data.max_pixels=1000000 --feedback s3://f/x --feedback-days 7 --feedback-images 5 --feedback-window 60 "
        "--feedback-gb 2 --redact blur --endpoint-url http://127.0.0.1:9 --json"
    )
    code, out, _ = run(*text.split())
    (options,) = served
    assert (code, json.loads(out)) == (0, {"uri": "http://127.0.0.1:1", "model": "b"})
    assert (options.model, options.bundle, options.name, options.host, options.port) == (
        "b",
        "int8",
        "trash",
        "0.0.0.0",
        9,
    )
    assert (options.threads, options.workers, options.token) == (2, 3, "a-token-of-24-characters")
    assert (options.open_metrics, options.allow, options.poll_s) == (True, ("s3://a/b", "s3://c"), 5)
    limits = options.limits
    assert (limits.max_bytes, limits.queue, limits.max_pixels) == (5000, 7, 1_000_000)
    assert options.ray == Replicas(1, 4, "auto", "MINE")
    assert options.feedback == FeedbackOptions("s3://f/x", images=5, window_s=60, days=7, max_gb=2, redact="blur")
    assert options.s3.endpoint_url == "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("none", "no such folder; expected a bundle, a run"),
        ("b --host 0.0.0.0", "RAYTL_SERVE_TOKEN is not set; expected a token"),
        ("b --replicas 2", "has no effect without --ray"),
        ("b --feedback-days 3", "--feedback-days 3.0: has no effect without --feedback"),
        ("b --redact blur", "--redact blur: has no effect without --feedback"),
        ("b --feedback x --feedback-images 0", "--feedback-images 0: expected 1 to 1000"),
        ("b --allow http://x", "expected s3://bucket/prefix"),
        ("b --ray --replicas x", "expected MIN or MIN:MAX"),
        ("models:trash@champion", "RAYTL_REGISTRY is not set"),
        ("b --set train.epochs=3", "train.epochs"),
    ],
)
def test_a_wrong_option_is_one_error_and_exit_2(
    words: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*words.split())
    assert (code, out, reason in err) == (2, "", True), err


def test_a_damaged_bundle_is_exit_2_and_names_the_file(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b")
    (folder / "reference.npy").write_bytes(b"changed")
    code, _, err = run(str(folder), "--port", "0")
    assert (code, "reference.npy" in err, "the bundle is damaged" in err) == (2, True, True)


def test_a_port_in_use_is_exit_1(tmp_path: Path) -> None:
    from raytl.serving import server

    folder = write_bundle(tmp_path / "b")
    with server.listening("127.0.0.1", 0) as bound:
        code, _, err = run(str(folder), "--port", str(bound.getsockname()[1]))
    assert (code, "Choose another with --port" in err) == (1, True)
