"""Every verb that is given a URI takes --endpoint-url, --profile and --anonymous, and reaches buckets by them alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from raytl.cli.main import VERBS
from raytl.cli.options import s3_settings, with_s3_options
from raytl.errors import ConfigError
from raytl.store.s3_settings import S3Settings
from tests.cli.conftest import Raytl
from tests.store.conftest import fill
from tests.store.proxy import proxied

BUCKET = "reached-by-options"
FILE = """\
name: tiny
data: {{uri: s3://{bucket}/data}}
model: {{name: test_resnet, weights: none, preprocess: {{image_px: 32}}}}
transfer: {{unfreeze: 1, head_first: 0}}
train: {{epochs: 1, batch_size: 8, precision: fp32}}
compute: {{cluster: none, device: cpu}}
storage: {{uri: s3://{bucket}/runs}}
retrain: {{registry: s3://{bucket}/models}}
"""
ARGUMENTS = {
    "init": (f"s3://{BUCKET}/data", "--model", "test_resnet"),
    "check": ("tiny.yaml",),
    "train": ("tiny.yaml",),
    "tune": ("tiny.yaml", "--dry-run"),
    "evaluate": (f"s3://{BUCKET}/runs/tiny",),
    "predict": (f"s3://{BUCKET}/runs/tiny", f"s3://{BUCKET}/data/red"),
    "export": (f"s3://{BUCKET}/runs/tiny",),
    "compress": (f"s3://{BUCKET}/runs/tiny",),
    "serve": (f"s3://{BUCKET}/runs/tiny",),
    "collect": (f"s3://{BUCKET}/feedback",),
    "labels": ("tiny.yaml",),
    "explain": (f"s3://{BUCKET}/runs/tiny", f"s3://{BUCKET}/data/red/000.jpg"),
    "report": (f"s3://{BUCKET}/runs/tiny",),
    "advise": (f"s3://{BUCKET}/data", "--weights", "test_resnet=none.safetensors"),
    "next": ("tiny.yaml", "--set", f"data.unlabelled=s3://{BUCKET}/all"),
    "runs": (f"s3://{BUCKET}/runs",),
    "compare": (f"s3://{BUCKET}/runs/tiny", f"s3://{BUCKET}/runs/tiny"),
    "retrain": ("tiny.yaml", "--dry-run"),
    "models list": (f"s3://{BUCKET}/models",),
    "models show": (f"s3://{BUCKET}/models",),
    "models diff": (f"s3://{BUCKET}/models", "1", "2"),
    "models promote": (f"s3://{BUCKET}/models", "1"),
    "models rollback": (f"s3://{BUCKET}/models",),
    "models gc": (f"s3://{BUCKET}/models",),
    "sync": (f"s3://{BUCKET}/data",),
    "doctor": ("--bucket", f"s3://{BUCKET}/data", "--address", "none"),
    "submit": ("train", "tiny.yaml", "--dry-run"),
}
REACHING = (
    "init", "check", "sync", "doctor", "train", "tune", "evaluate", "predict", "explain", "runs", "compare",
    "models list", "models gc", "retrain",
)  # fmt: skip
"""Verbs that end well on a bucket with photos, in this order."""
NO_URI = {"bench", "schema", "jobs", "status", "logs", "stop", "cluster render", "cluster ask"}


@pytest.fixture
def store(raytl: Raytl, s3_server: str, tmp_path: Path, make_photos: Callable[..., Path]) -> str:
    """The URL of a server with photos, which the environment does not name; tiny.yaml is an experiment on them."""
    photos = make_photos(12, root=tmp_path / "source")
    fill(
        s3_server,
        BUCKET,
        {f"data/{at.relative_to(photos).as_posix()}": at.read_bytes() for at in photos.rglob("*.jpg")},
    )
    (tmp_path / "tiny.yaml").write_text(FILE.format(bucket=BUCKET))
    return s3_server


def test_every_verb_is_known_here() -> None:
    assert ARGUMENTS.keys() | NO_URI >= VERBS.keys()


@pytest.mark.parametrize("verb", ARGUMENTS)
def test_a_setting_in_two_forms_is_an_error(raytl: Raytl, verb: str) -> None:
    given = ("--endpoint-url", "http://a", "--set", "storage.endpoint_url=http://b")
    done = raytl(*verb.split(), *ARGUMENTS[verb], *given)
    assert done.code == 2
    assert "--set storage.endpoint_url is given too" in done.err


@pytest.mark.parametrize("verb", ARGUMENTS)
def test_the_options_are_in_the_help(raytl: Raytl, verb: str) -> None:
    text = raytl(*verb.split(), "--help").out
    assert all(option in text for option in ("--endpoint-url", "--profile", "--anonymous"))


def test_the_options_are_settings() -> None:
    given: list[list[str] | None] = []

    def verb(set_: list[str] | None = None) -> None:
        given.append(set_)

    run = with_s3_options(verb)
    run(endpoint_url="http://h:1", profile="1e3", anonymous=True, set_=["storage.region=x"])
    run(endpoint_url=None, profile=None, anonymous=False, set_=None)
    assert given == [
        ["storage.region=x", "storage.endpoint_url=http://h:1", 'storage.profile="1e3"', "storage.anonymous=true"],
        [],
    ]
    assert s3_settings(given[0]) == S3Settings("http://h:1", "x", "1e3", anonymous=True)


def test_a_verb_without_settings_stays_as_it_is() -> None:
    verb = VERBS["schema"]
    assert with_s3_options(verb) is verb


def test_a_uri_alone_has_no_other_settings() -> None:
    with pytest.raises(ConfigError, match=r"--set compute\.device: expected storage\.\*"):
        s3_settings(["compute.device=cpu"])


@pytest.mark.s3
@pytest.mark.slow
@pytest.mark.thorough
def test_every_verb_reaches_the_endpoint_as_the_profile_that_its_options_name(
    raytl: Raytl, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "credentials").write_text("[photos]\naws_access_key_id = mine\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for verb in REACHING:
        with proxied(store) as way:
            done = raytl(*verb.split(), *ARGUMENTS[verb], "--endpoint-url", way.url, "--profile", "photos")
            assert (verb, done.code, way.requests.total() > 0) == (verb, 0, True), done.out + done.err


@pytest.mark.s3
def test_public_photos_need_no_credentials(raytl: Raytl, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = boto3.client("s3", endpoint_url=store)
    for found in client.list_objects_v2(Bucket=BUCKET, Prefix="data/")["Contents"]:
        client.put_object_acl(Bucket=BUCKET, Key=found["Key"], ACL="public-read")
    client.close()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    done = raytl("sync", f"s3://{BUCKET}/data", "--endpoint-url", store, "--anonymous", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["images"]["train"]
