"""No secret of the environment or of an address is in a run's folder, in a job, in a log or on the terminal."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from raytl.config.load import load_experiment
from raytl.config.override import override
from raytl.errors import ConfigError
from tests.cli.conftest import Raytl, raytl, tiny  # noqa: F401 - fixtures
from tests.conftest import MakePhotos

MARK = "m4rk3d"
VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "RAY_AUTH_TOKEN", "PGPASSWORD", "HF_TOKEN", "ANY_OTHER")


@pytest.fixture(autouse=True)
def marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every secret of the environment is told by its mark."""
    for name in VARIABLES:
        monkeypatch.setenv(name, f"{MARK}-{name}")


def holding(places: Iterable[Path]) -> list[str]:
    """The files below that hold the mark, in their bytes or their names."""
    files = [Path(folder, name) for place in places for folder, _, names in os.walk(place) for name in names]
    return [str(path) for path in files if MARK in str(path) or MARK.encode() in path.read_bytes()]


def test_the_search_for_marks_finds_one(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "x.log").write_text(f"password {MARK}")
    assert holding([tmp_path]) == [str(tmp_path / "deep" / "x.log")]


def test_a_run_keeps_no_secret(
    raytl: Raytl,  # noqa: F811
    tiny: Path,  # noqa: F811
    make_photos: MakePhotos,
    tmp_path: Path,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_photos(12)
    command = [
        "raytl",
        "train",
        "tiny.yaml",
        "--set",
        f"model.weights=https://me:{MARK}@host/w.pth?X-Amz-Signature={MARK}",
    ]
    monkeypatch.setattr("sys.argv", command)
    said = [raytl("check", tiny), raytl("train", tiny), raytl("evaluate", "runs/tiny"), raytl("train", tiny, "--json")]
    assert [done.code for done in said] == [0] * 4, said
    assert not [done for done in said if MARK in done.out + done.err]
    assert (tmp_path / "runs/tiny/provenance.json").read_text().count("***") == 2
    assert holding([tmp_path, own_cache]) == []


def test_a_job_holds_no_secret(raytl: Raytl, tiny: Path, tmp_path: Path) -> None:  # noqa: F811
    far = ("--set", "data.uri=s3://b/d", "--set", "storage.uri=s3://b/r", "--code", "checkout")
    for verb in ("train", "tune", "evaluate"):
        for more in ((), ("--json",)):
            done = raytl("submit", verb, tiny, *far, "--dry-run", *more)
            assert done.code == 0, done.err
            assert MARK not in done.out + done.err


WITH_SECRETS = [
    ("search.storage", f"mysql+pymysql://me:{MARK}@host/db"),
    ("search.storage", f"postgresql+psycopg://me:pa/{MARK}@host/db"),
    ("search.storage", f"postgresql://me@host/db?ssl_passphrase={MARK}"),
    ("search.storage", f"host=db password={MARK} dbname=x"),
    ("data.uri", f"https://host/x?X-Amz-Signature={MARK}"),
    ("data.uri", f"https://storage.googleapis.com/b/x?X-Goog-Signature={MARK}"),
    ("data.split_file", f"s3://key:{MARK}@bucket/sides.jsonl"),
    ("model.name", f"https://{MARK}@host/backbone"),
    ("model.weights", f"https://me:{MARK}@host/w.pth"),
    ("model.weights", f"models:s3://key:{MARK}@bucket/trash@champion"),
    ("storage.uri", f"s3://key:{MARK}@bucket/runs"),
    ("storage.uri", f"s3://key:p@{MARK}@bucket/runs"),
    ("storage.endpoint_url", f"http://me:{MARK}@minio:9000"),
    ("storage.endpoint_url", f"http://me:{MARK}@[::1]:9000"),
    ("storage.endpoint_url", f"HTTPS://me:{MARK}@minio"),
    ("storage.endpoint_url", f"https://minio/?api_key={MARK}"),
    ("storage.profile", f"access_token={MARK}"),
    ("compute.cluster", f"ray://me:{MARK}@head:10001"),
    ("compute.cluster", f"me:{MARK}@head:10001"),
    ("storage.endpoint_url", f"me:{MARK}@minio.example.org"),
    ("search.storage", f"me:pa/{MARK}@db/x"),
    ("retrain.registry", f"s3://k:{MARK}@bucket/models"),
    ("retrain.registry", f"https://hooks.slack.com/services/T00/B00/{MARK}"),
    ("optim.name", f"https://discord.com/api/webhooks/1/{MARK}"),
]


@pytest.mark.parametrize(("key", "value"), WITH_SECRETS)
def test_an_address_with_a_secret_is_refused_in_any_key(
    key: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_ADDRESS", value)
    section, _, name = key.partition(".")
    text = f"name: x\ndata: {{uri: photos}}\nmodel: {{name: test_resnet}}\n{section}:\n  {name}: {json.dumps(value)}\n"
    in_a_file = tmp_path / "e.yaml"
    in_a_file.write_text(re.sub(rf"^{section}: {{.*}}\n", "", text, flags=re.MULTILINE))
    plain = tmp_path / "plain.yaml"
    plain.write_text("name: x\ndata: {uri: photos}\nmodel: {name: test_resnet}\n")
    for place, given in (
        (in_a_file, []),
        (plain, [f"{key}={json.dumps(value)}"]),
        (plain, [f"{key}=${{THE_ADDRESS}}"]),
    ):
        with pytest.raises(
            ConfigError, match=rf"{re.escape(key)}: found [^\n]*\*\*\*[^\n]*, which contains a secret"
        ) as error:
            load_experiment(place, given)
        assert MARK not in str(error.value)
        assert "    -> " in str(error.value)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"search.space": {"model.name": {"choice": ["resnet18", f"https://me:{MARK}@h"]}}}, "search.space"),
        (
            {"search.space": {"optim.name": {"choice": ["adamw"], "when": f"model.name == s3://k:{MARK}@b"}}},
            "search.space",
        ),
        ({"train.class_weights": {f"https://me:{MARK}@h": 1.0}}, "train.class_weights"),
    ],
)
def test_a_secret_deep_in_a_value_or_in_a_name_is_refused(values: dict[str, Any], key: str, tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text("name: x\ndata: {uri: photos}\nmodel: {name: test_resnet}\n")
    with pytest.raises(ConfigError, match=rf"{key}[^\n]*\*\*\*[^\n]*, which contains a secret") as error:
        load_experiment(path, values)
    assert MARK not in str(error.value)


@pytest.mark.parametrize("key", ["data.uri", "model.name", "storage.profile", "search.storage", "optim.name"])
@pytest.mark.parametrize("reference", ["${HF_TOKEN}", "s3://b/${HF_TOKEN}/x", "${AWS_SECRET_ACCESS_KEY:-none}"])
def test_a_variable_that_holds_a_secret_is_refused_in_any_key(key: str, reference: str, tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text("name: x\ndata: {uri: photos}\nmodel: {name: test_resnet}\n")
    with pytest.raises(ConfigError, match=rf"{key}: found '\${{\w+}}', which contains a secret"):
        load_experiment(path, [f"{key}={reference}"])


def test_a_secret_that_the_shell_put_in_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text("name: x\ndata: {uri: photos}\nmodel: {name: test_resnet}\n")
    with pytest.raises(ConfigError, match=r"--set data\.uri: found 's3://b/\*\*\*/x', which contains a secret"):
        load_experiment(path, [f"data.uri=s3://b/{MARK}-HF_TOKEN/x"])


def test_the_folder_that_one_works_in_is_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name has letters and digits, as a password has, and in a connection string PWD is one."""
    for name in ("PWD", "OLDPWD"):
        monkeypatch.setenv(name, f"/projects/{name}-flowers-2026")
        path = tmp_path / "e.yaml"
        path.write_text(f"name: x\ndata: {{uri: /projects/{name}-flowers-2026/photos}}\nmodel: {{name: test_resnet}}\n")
        assert load_experiment(path).data.uri == f"/projects/{name}-flowers-2026/photos"


def test_a_name_that_is_also_a_password_is_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", "postgres")
    path = tmp_path / "e.yaml"
    path.write_text("name: x\ndata: {uri: photos}\nmodel: {name: test_resnet}\n")
    storage = "postgresql+psycopg://postgres@db/postgres"
    assert load_experiment(path, [f"search.storage={storage}"]).search.storage == storage


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.uri", "s3://bucket/a@2x/"),
        ("data.uri", "s3://bucket/token/x"),
        ("data.uri", "s3://bucket/token=7/x"),
        ("data.uri", "/data/me@example.org/photos"),
        ("data.uri", "C:\\Users\\me@work\\photos"),
        ("model.weights", "models:s3://bucket/trash@champion"),
        ("data.uri", "photos:old@2x.png"),
        ("storage.endpoint_url", "http://[::1]:9000"),
        ("search.storage", "mysql+pymysql://me@host/db?read_default_file=~/.my.cnf&ssl_key=/srv/k.pem"),
        ("search.storage", "postgresql+psycopg://ml_user@host/db?passfile=/srv/.pgpass"),
    ],
)
def test_what_only_looks_like_a_secret_is_a_value(key: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text("name: x\ndata: {uri: photos}\nmodel: {name: test_resnet}\n")
    found: Any = load_experiment(path, [f"{key}={value}"])
    for part in key.split("."):
        found = getattr(found, part)
    assert found == value


def test_a_trial_s_override_with_a_secret_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text("name: x\ndata: {uri: photos}\nmodel: {name: test_resnet}\n")
    with pytest.raises(
        ConfigError, match=r"override optim\.name: found 'https://me:\*\*\*@h', which contains a secret"
    ):
        override(load_experiment(path), {"optim.name": f"https://me:{MARK}@h"})


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        (("check",), ()),
        (("train",), ()),
        (("tune",), ("--dry-run",)),
        (("submit", "train"), ("--dry-run",)),
        (("submit", "retrain"), ("--dry-run", "--json")),
        (("cluster", "render", "kuberay", "--bucket", "photos", "--experiment"), ()),
    ],
)
def test_every_verb_refuses_an_address_with_a_secret_without_showing_it(
    verb: tuple[str, ...],
    options: tuple[str, ...],
    raytl: Raytl,  # noqa: F811
    tiny: Path,  # noqa: F811
    tmp_path: Path,
    own_cache: Path,
) -> None:
    done = raytl(*verb, tiny, "--set", f"storage.endpoint_url=http://me:{MARK}@minio", *options)
    assert done.code == 2, done.out
    assert "--set storage.endpoint_url: found 'http://me:***@minio'" in done.out + done.err
    assert MARK not in done.out + done.err
    assert holding([tmp_path, own_cache]) == []


def test_a_rendered_job_without_an_experiment_takes_no_secret(raytl: Raytl) -> None:  # noqa: F811
    given = f"search.storage=mysql://me:{MARK}@host/db"
    done = raytl("cluster", "render", "kuberay", "--bucket", "photos", "--set", given)
    assert done.code == 2 and "me:***@host/db', which contains a secret" in done.err
    assert MARK not in done.out + done.err


def test_an_unforeseen_error_hides_the_secrets_of_addresses(
    raytl: Raytl,  # noqa: F811
    tiny: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError(f"https://me:{MARK}@host")

    tiny.write_text(f"task: classification\n{tiny.read_text()}")  # not read off the data, which are not there
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    monkeypatch.setattr("raytl.training.driver.train", broken)
    done = raytl("train", tiny)
    assert done.code == 1 and "https://me:***@host" in done.err
    assert holding([tmp_path]) == []


def test_the_store_s_errors_hide_the_secrets_of_its_address(
    raytl: Raytl,  # noqa: F811
    tiny: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://me:{MARK}@127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"{MARK}-id")
    monkeypatch.setattr("time.sleep", lambda _: None)  # between attempts
    from raytl.store import s3

    s3.forget_client()
    done = raytl("check", tiny, "--set", "data.uri=s3://bucket/x")
    s3.forget_client()
    assert done.code in (1, 2)
    assert MARK not in done.out + done.err
    assert holding([tmp_path]) == []


@pytest.mark.parametrize(
    "words",
    [
        ("check", "e.yaml", f"https://me:{MARK}@host"),
        ("check", f"--token={MARK}"),
        (f"--password={MARK}",),
        (f"https://{MARK}@host",),
        ("models", "show", "a", "b", f"{MARK}-HF_TOKEN\x1b[2J"),
        ("predict", "r", "p", "--device", f"https://{MARK}@host"),
    ],
)
def test_a_wrong_command_line_is_refused_without_its_secrets(words: tuple[str, ...], raytl: Raytl) -> None:  # noqa: F811
    done = raytl(*words)
    assert done.code == 2
    assert MARK not in done.out + done.err and "\x1b[2J" not in done.err


def test_data_below_the_working_folder_is_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_photos: MakePhotos
) -> None:
    """Each shell exports PWD, which as a key in an address is a password."""
    photos, file = make_photos(), tmp_path / "e.yaml"
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setenv("OLDPWD", str(tmp_path))
    for uri in (str(photos), "${PWD}/photos"):
        file.write_text(f"name: e\ndata: {{uri: '{uri}'}}\nmodel: {{name: mobilenetv2_100}}\n")
        assert load_experiment(file).data.uri == str(photos)


@pytest.mark.parametrize("uri", [f"s3://k:{MARK}@b/x", f"s3://k:{MARK}/x@b/x", f"s3://{MARK}@b/x"])
@pytest.mark.parametrize("verb", [("evaluate",), ("models", "list"), ("check",), ("sync",)])
def test_no_command_shows_the_secret_of_a_bucket_s_address(verb: tuple[str, ...], uri: str, raytl: Raytl) -> None:  # noqa: F811
    result = raytl(*verb, uri)
    output = result.out + result.err
    assert result.code in (1, 2) and MARK not in output and "***@b" in output
