"""Secrets are recognised by their shape in any text, and what only looks like one is left as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.kube.cluster_spec import ClusterSpec, Kind
from raytl.kube.render import render
from raytl.redaction import is_secret_name, masked, secret_values

S = "S3cr3t"

USERINFO = [
    f"http://me:{S}@host",
    f"s3://k:{S}@bucket/x",
    f"https://:{S}@host",
    f"HTTPS://me:{S}@host",
    f"FtP://me:{S}@host",
    f"foo://me:{S}@host",
    f"foo_bar+baz://me:{S}@host",
    f"postgresql+psycopg://me:{S}@host/db",
    f"jdbc:postgresql://me:{S}@host/db",
    f"mongodb+srv://me:{S}@h1,h2/x",
    f"amqp://me:{S}@h1:1,h2:2/x",
    f"redis://:{S}@host:6379/0",
    f"https://me:{S}%40%2f@host",
    f"https://me%3A{S}@host",
    f"http://me:{S}@[::1]:9000/",
    f"http://me:{S}@[2001:db8::1]/x",
    f"//me:{S}@host/x",
    f"me:{S}@host:5432/db",
    f"models:s3://k:{S}@bucket/m@champion",
]
ODD_PASSWORDS = [
    f"mysql://me:pa/{S}@host/db",
    f"mysql://me:/{S}@host/db",
    f"mysql://me:1/{S}@host/db",
    f"s3://AKIA:12/{S}@bucket",
    f"http://me:12/{S}@host:9000/",
    f"http://me:pa/{S}@[::1]:9000/",
    f"mysql://me:p@{S}@host/db",
    f"mysql://me:p@ss/{S}@host/db",
    f"mysql://me:p?{S}@host/db",
    f"mysql://me:p#{S}@host/db",
    f"mysql://me:p:{S}@host/db",
    f"mysql://me:p'{S}@host/db",
    f'mysql://me:p"{S}@host/db',
    f"mysql://me:p<{S}>@host/db",
    f"mysql://me:p {S}@host/db",
    f"me:pa/{S}@host:5432/db",
]
TOKENS_AS_USERS = [
    f"https://{S}@host",
    f"https://ghp_{S}@github.com/me/x.git",
    f"https://{S}:x-oauth-basic@host",
    f"https://{S}:@host",
    f"git+https://{S}@host/x",
    f"unknown://{S}@host",
]
QUERIES = [
    f"https://h/?api_key={S}",
    f"https://h/?apikey={S}",
    f"https://h/?api-key={S}",
    f"https://h/?key={S}",
    f"https://h/?access_token={S}&b=1",
    f"https://h/?accessToken={S}",
    f"https://h/?b=1&X-Goog-Signature={S}",
    f"https://h/?X-Goog-Credential={S}",
    f"https://h/?X-Amz-Security-Token={S}",
    f"https://h/?AWSAccessKeyId={S}",
    f"https://h/?Signature={S}",
    f"https://h?sv=1&sig={S}%3D",
    f"https://h?sharedAccessKey={S}",
    f"https://h?subscription-key={S}",
    f"https://h?client_secret={S}",
    f"https://h?jwt={S}",
    f"https://h/?pass%77ord={S}",
    f"https://h/#access_token={S}",
    f"https://h/x;password={S}",
    f"https://h/?a=1&amp;sig={S}",
    f"https://h/?redirect=https%3A%2F%2Fme%3A{S}%40host",
    f"mssql://h?odbc_connect=DRIVER%3DX%3BPWD%3D{S}",
    f"mysql://me@h/db?ssl_passphrase={S}",
    f"postgresql://me@h/db?sslpassword={S}",
    f"mysql://me@h/db?passwd={S}",
    f"and ?token={S}",
]
PAIRS = [
    f"password={S} host=h",
    f"host=h password='{S} x' dbname=d",
    f"host=h password=pa@{S} dbname=x",
    f"host=h  password = {S}",
    f"Server=h;Database=x;Uid=me;Pwd={S};",
    f"--token={S}",
    f"{{'password': '{S}'}}",
    f'{{"api_key": "{S}"}}',
    f"Authorization: Bearer {S}",
    f"'Authorization': 'Basic {S}'",
]
WEBHOOKS = [
    f"https://hooks.slack.com/services/T000/B000/{S}",
    f"hooks.slack.com/services/T000/B000/{S}",
    f"HTTPS://HOOKS.SLACK.COM/services/T000/B000/{S}",
    f"https://hooks.slack.com/workflows/T0/A0/1/{S}",
    f"https://chat.example.org/services/T000/B000/{S}",
    f"https://discord.com/api/webhooks/123/{S}",
    f"https://canary.discordapp.com/api/v10/webhooks/123/{S}",
    f"https://acme.webhook.office.com/webhookb2/{S}@aa/IncomingWebhook/bb/cc",
    f"https://outlook.office.com/webhook/{S}/IncomingWebhook",
    f"https://prod-1.westeurope.logic.azure.com:443/workflows/{S}/triggers?sig={S}",
    f"https://api.telegram.org/bot{S}/sendMessage",
    f"https://chat.googleapis.com/v1/spaces/AAA/messages?key={S}&token={S}",
    f"https://mattermost.example.org/hooks/{S}",
    f"https://example.org/api/webhook/{S}",
]
INNOCENT = [
    "s3://bucket/a@2x/",
    "s3://bucket/a:b@c/d",
    "s3://bucket/token/x",
    "s3://bucket/token=7/x",
    "s3://bucket/hooks/fish/a.jpg",
    "s3://bucket/services/T1/x",
    "s3://bucket/services/trash/bottles/1.jpg",
    "/data/services/Trash/Bottles/1.jpg",
    "photos/secret=1/a.jpg",
    "http://localhost:9000/bucket/a@2x/",
    "http://minio:9000/a@b.jpg",
    "http://[::1]:9000/a@b",
    "models:s3://b/m@champion",
    "models:trash@champion",
    "models:trash@12",
    "models:/srv/models/trash@previous",
    "/data/me@example.org/photos",
    "C:\\Users\\me@work\\photos",
    "file://C:/Users/me@work/x",
    "file:///C:/Users/me@work/x",
    "sqlite:////srv/x@y.db",
    "curl --header 'Authorization: Bearer %s' 'https://h/?token=${TOKEN}'",
    '"RAY_AUTH_TOKEN": "{{ conn.raytl.password }}"',
    "image: raytl:1.0@sha256:0123456789abcdef",
    "ghcr.io/me/raytl:1.0@sha256:0123456789abcdef",
    "mysql+pymysql://user@host/db",
    "postgresql://ml_user@host/db?passfile=/srv/.pgpass&sslkey=/srv/k.pem&sslmode=verify-full",
    "mysql://me@host/db?read_default_file=~/.my.cnf&ssl_ca=/srv/ca.pem&ssl_key=/srv/k.pem",
    "git@github.com:org/repo.git",
    "git+ssh://git@github.com/org/repo",
    "user@host 12:30",
    "2026-11-28T12:30:00 me@host",
    "expected http(s)://head:8265, such as http://head:8265",
    "https://h/?tokenizer=bert&author=me&keyword=x&partition_key=2&max-keys=1&monkey=1&design=2&compass=n",
    "mongodb://h/?authSource=admin&authMechanism=SCRAM",
    "access denied for me (using password: YES)",
    "train.token == 3, transfer.unfreeze=2",
    "timm/vit_base_patch16_224.augreg2_in21k_ft_in1k",
    "***, https://me:***@host/?sig=***",
]


@pytest.mark.parametrize("text", [*USERINFO, *ODD_PASSWORDS, *TOKENS_AS_USERS, *QUERIES, *PAIRS, *WEBHOOKS])
@pytest.mark.parametrize("around", ["{}", "cannot reach '{}': refused", "({}, 3)", "a {} b", "first\n{}\nlast"])
def test_a_secret_is_starred_wherever_it_stands(text: str, around: str) -> None:
    found = masked(around.format(text))
    assert S not in found and "***" in found
    assert masked(found) == found
    if around.startswith(("cannot", "first")):
        assert found.startswith(around.partition("{}")[0]) and found.endswith(around.partition("}")[2].lstrip("'"))


@pytest.mark.parametrize("text", INNOCENT)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("kind", ["rayjob", "raycluster", "cronjob", "raycronjob"])
def test_a_cluster_s_file_stays(kind: Kind) -> None:
    text = render(ClusterSpec(kind=kind))
    assert masked(text) == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"postgresql+psycopg://me:{S}@db:5432/x?a=1", "postgresql+psycopg://me:***@db:5432/x?a=1"),
        (f"https://{S}@host/x", "https://***@host/x"),
        (f"https://h/x?a=1&sig={S}&b=2", "https://h/x?a=1&sig=***&b=2"),
        (f"host=h password={S} dbname=d", "host=h password=*** dbname=d"),
        (f"https://hooks.slack.com/services/T0/B0/{S}", "https://hooks.slack.com/services/***"),
        (f'<a href="https://h/?sig={S}">x</a>', '<a href="https://h/?sig=***">x</a>'),
    ],
)
def test_all_but_the_secret_is_still_told(text: str, found: str) -> None:
    assert masked(text) == found


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_ACCESS_KEY_ID",
        "RAY_AUTH_TOKEN",
        "PGPASSWORD",
        "MYSQL_PWD",
        "HF_TOKEN",
        "WANDB_API_KEY",
        "OPENAI_KEY",
        "SLACK_WEBHOOK",
        "SLACK_WEBHOOK_URL",
        "HOOK",
        "DB_PASS",
        "SSHPASS",
        "KEY_PASSPHRASE",
        "X_CREDENTIALS",
        "GitHubToken",
    ],
)
def test_a_variable_of_such_a_name_is_a_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "SSH_AUTH_SOCK",
        "RAY_AUTH_MODE",
        "RAY_AUTH_TOKEN_PATH",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "GPG_KEY",
        "AWS_PROFILE",
        "AWS_ENDPOINT_URL",
        "TOKENIZERS_PARALLELISM",
        "XAUTHORITY",
        "GIT_ASKPASS",
        "KEYBOARD",
        "LS_COLORS",
    ],
)
def test_a_variable_of_another_name_is_none(name: str) -> None:
    assert not is_secret_name(name)


def test_short_values_of_the_environment_are_no_secrets() -> None:
    assert (
        secret_values({"X_TOKEN": "true", "Y_TOKEN": "1234567", "Z_PASSWORD": "", "OTHER": "long enough to count"})
        == ()
    )


def test_the_folders_of_the_shell_and_the_paths_of_credentials_are_no_secrets(tmp_path: Path) -> None:
    here = str(tmp_path)
    assert secret_values({"PWD": here, "OLDPWD": f"{here}/gone-1", "GOOGLE_APPLICATION_CREDENTIALS": here}) == ()
    assert secret_values({"MYSQL_PWD": f"{here}/gone-1"})


def test_secrets_of_the_environment_are_starred_in_each_spelling() -> None:
    environment = {"A_TOKEN": "pass/wörd 1", "PROXY": "http://me:longenough1@proxy", "B_KEY": "-----\nMIIEvQIBADANBg\n"}
    values = secret_values(environment)
    text = "pass/wörd 1, pass%2Fw%C3%B6rd%201, longenough1, MIIEvQIBADANBg"
    assert masked(text, values) == "***, ***, ***, ***"


def test_the_longest_secret_is_starred_where_one_begins_like_another() -> None:
    assert masked("abcdefgh-ijkl", ("abcdefgh", "abcdefgh-ijkl")) == "***"


@pytest.mark.parametrize(
    "part",
    [
        "//",
        "a://b:c ",
        "?a=b",
        "a:b@,",
        "='",
        "https://x/hook",
        "'a':'b",
        "&#;",
        "a.b-",
        "Bearer 1",
        ";",
        'a="b ',
        "http:/",
        "PRIVATE KEY-----",
        "-eyJ",
        "eyJaaaaaaaaa.",
        "hf_a",
        " xoxb-",
    ],
)
def test_a_long_text_costs_time_in_proportion(part: str) -> None:
    """With a rule of quadratic cost, this takes minutes."""
    text = "//=@" + part * (400_000 // len(part))
    assert len(masked(text)) <= len(text) + len(text) // 2


def test_folders_of_the_shell_and_paths_that_are_here_are_no_secrets(tmp_path: Path) -> None:
    key = tmp_path / "key-of-2026.json"
    key.touch()
    environment = {"OLDPWD": "/gone/project-2026", "PWD": "/elsewhere/project-2026", "SERVICE_CREDENTIALS": str(key)}
    assert secret_values(environment) == ()


@pytest.mark.parametrize(
    "text",
    [
        f"s3:/key:{S}@bucket/photos",
        f"error: http:/me:{S}@host:9000: no such file",
        f"http:\\\\me:{S}@host",
        f'{{"url": "https:\\/\\/me:{S}@host"}}',
        f"ghp_{S * 6}",
        f"token of hf_{S * 6}, refused",
        f"xoxb-1234567890-{S * 3}",
        f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.{S * 6}",
        f"-----BEGIN PRIVATE KEY-----\n{S}\n{S}\n-----END PRIVATE KEY-----",
    ],
)
def test_mistyped_addresses_and_issued_tokens_are_starred(text: str) -> None:
    assert S not in masked(text)


@pytest.mark.parametrize(
    "text",
    ["s3:/bucket/me@home/x", "https:/host:9000/me@home", "C:\\me@work", "hf_hub", "hf_resnet50_flowers_2026", "ghp_x"],
)
def test_what_looks_like_them_is_left(text: str) -> None:
    assert masked(text) == text
