"""The endpoints, by requests to the application in this process."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raytl.feedback.opening import FeedbackOptions
from raytl.feedback.reading import read_records
from raytl.serving.app import Application
from raytl.serving.options import Limits
from raytl.serving.payload import files_of
from raytl.store.open import open_store
from tests.serving.bundles import photo
from tests.serving.conftest import TOKEN, Client
from tests.serving.recording import Recording

Serving = Callable[..., Client]


def test_an_answer_has_every_operating_point_and_the_version(serving: Serving) -> None:
    client = serving()
    response = client.post("/predict", photo((255, 0, 0)))
    answer = response.json()
    assert response.status_code == 200
    assert (answer["label"], answer["set"], answer["answered"], answer["counts_as"]) == (
        "red",
        ["red"],
        True,
        {"red": True},
    )
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["unfamiliar"] is False
    assert answer["version"] == client.service.live.current.version


def test_a_doubtful_photo_abstains_and_an_unfamiliar_one_is_flagged(serving: Serving) -> None:
    answer = serving().post("/predict", photo((120, 120, 110), kind="PNG"), kind="image/png").json()
    assert (answer["answered"], answer["unfamiliar"]) == (False, True)


def test_files_of_a_form_are_answered_in_order_with_their_names(serving: Serving) -> None:
    files = [("a", ("r.jpg", photo((255, 0, 0)))), ("a", ("b.jpg", photo((0, 0, 255)))), ("x", ("bad.jpg", b"text"))]
    response = serving().post("/predict", files=files)
    first, second, bad = response.json()["predictions"]
    assert response.status_code == 200
    assert (first["name"], first["label"], second["name"], second["label"]) == ("r.jpg", "red", "b.jpg", "blue")
    assert "not an image" in bad["error"]


@pytest.mark.parametrize(
    ("content", "kind", "status", "reason"),
    [
        (b"", "image/jpeg", 422, "empty file"),
        (b"hello", "image/jpeg", 422, "not an image"),
        (photo()[:200], "image/jpeg", 422, "broken image"),
        (photo(), "text/html", 415, "image/*"),
        (b"{", "application/json", 400, "not JSON"),
        (b'{"uri": 3}', "application/json", 400, "uri"),
        (b'{"url": "s3://b/k"}', "application/json", 400, "uri"),
        (b"x", "multipart/form-data", 400, "boundary"),
        (b"x", "multipart/form-data; boundary=b", 400, "malformed form"),
        (b"--b\r\n\r\n", "multipart/form-data; boundary=b", 400, "malformed form"),
        (b"--b--\r\n", "multipart/form-data; boundary=b", 400, "without files"),
        (
            b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n',
            "multipart/form-data; boundary=b", 400, "no file",
        ),
    ],
)  # fmt: skip
def test_what_is_no_photo_is_refused_with_the_reason(
    serving: Serving, content: bytes, kind: str, status: int, reason: str
) -> None:
    response = serving().post("/predict", content, kind)
    assert (response.status_code, reason in response.json()["error"]) == (status, True), response.text


def test_a_form_of_unreadable_files_alone_is_422(serving: Serving) -> None:
    response = serving().post("/predict", files=[("a", ("a.jpg", b"no"))])
    assert (response.status_code, "not an image" in response.json()["predictions"][0]["error"]) == (422, True)


def test_a_form_is_parsed_beside_the_thread_of_the_connections(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def parsed(*given: Any) -> Any:
        threads.append(threading.current_thread())
        return files_of(*given)

    monkeypatch.setattr("raytl.serving.endpoints.files_of", parsed)
    assert serving().post("/predict", files=[("a", ("a.jpg", photo()))]).status_code == 200
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()


def test_more_files_than_allowed_are_refused(serving: Serving) -> None:
    response = serving(limits=replace(Limits(), photos=1)).post("/predict", files=[("a", ("a.jpg", photo()))] * 2)
    assert (response.status_code, "more than 1 files" in response.text) == (413, True)


def test_a_photo_with_too_many_pixels_is_refused_by_its_header(serving: Serving) -> None:
    bomb = photo(px=4000, kind="PNG")
    response = serving(limits=replace(Limits(), max_pixels=10**6)).post("/predict", bomb)
    assert len(bomb) < 100_000
    assert (response.status_code, "decompression bomb" in response.text) == (422, True)


@pytest.mark.parametrize("length", [None, "10", "99999999", "x", "-1", "1" * 40])
def test_a_body_beyond_the_limit_is_refused_whatever_its_length_says(serving: Serving, length: str | None) -> None:
    headers = {} if length is None else {"content-length": length}
    response = serving(limits=replace(Limits(), max_bytes=2000)).post("/predict", b"x" * 3000, headers=headers)
    assert response.status_code == (400 if length in ("x", "-1", "1" * 40) else 413)


def test_a_body_shorter_than_its_length_is_refused(serving: Serving) -> None:
    response = serving().post("/predict", photo(), headers={"content-length": "1000000"})
    assert (response.status_code, "Content-Length says 1,000,000" in response.text) == (400, True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong-token-of-24-chars"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": f"Bearer {TOKEN}x"}, 401),
        ({"authorization": f"Bearer {TOKEN}"}, 200),
        ({"authorization": f"bearer {TOKEN}"}, 200),
    ],
)
def test_a_token_is_needed_where_one_is_set(serving: Serving, headers: dict[str, str], status: int) -> None:
    client = serving("203.0.113.9", host="0.0.0.0", token=TOKEN)
    response = client.post("/predict", photo(), headers=headers)
    assert response.status_code == status
    assert ("www-authenticate" in response.headers) is (status == 401)
    for path in ("/healthz", "/metrics", "/docs", "/openapi.json", "/v2/models/colours", "/nothing"):
        assert (client.get(path, headers=headers).status_code == 401) is (status == 401)


def test_open_metrics_open_the_probes_alone_and_tell_no_trouble(serving: Serving) -> None:
    client = serving("203.0.113.9", host="0.0.0.0", token=TOKEN, open_metrics=True)
    client.service.live.fail("secret place")
    assert client.get("/metrics").status_code == client.get("/healthz").status_code == 200
    assert client.get("/docs").status_code == client.get("/v2").status_code == 401
    assert "secret place" not in client.get("/readyz").text
    assert client.get("/readyz").json()["stale"] is True
    assert "secret place" in client.get("/readyz", headers={"authorization": f"Bearer {TOKEN}"}).text


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [
        ("203.0.113.9", {}, 403),
        ("127.0.0.1", {"host": "evil.example"}, 421),
        ("127.0.0.1", {"host": "evil.example:8000"}, 421),
        ("127.0.0.1", {"origin": "https://evil.example"}, 403),
        ("127.0.0.1", {"origin": "null"}, 403),
        ("127.0.0.1", {"host": "localhost:8000", "origin": "http://localhost:8000"}, 200),
        ("::1", {"host": "[::1]:8000"}, 200),
    ],
)
def test_without_a_token_only_this_machine_is_served(
    serving: Serving, client: str, headers: dict[str, str], status: int
) -> None:
    assert serving(client).post("/predict", photo(), headers=headers).status_code == status


def test_a_header_that_decides_may_be_there_once(serving: Serving) -> None:
    headers = [("content-length", "3"), ("content-length", "4")]
    assert serving().send("POST", "/predict", content=b"abc", headers=headers).status_code == 400


@pytest.mark.s3
def test_objects_below_an_allowed_prefix_are_answered_and_no_others(
    serving: Serving, bucket: str, s3_client: Any
) -> None:
    for key in ("in/a.jpg", "inside.jpg", "out/a.jpg"):
        s3_client.put_object(Bucket=bucket, Key=key, Body=photo())
    s3_client.put_object(Bucket=bucket, Key="in/large", Body=b"x" * 5000)
    client = serving(allow=(f"s3://{bucket}/in/",), limits=replace(Limits(), max_bytes=4000))

    def ask(uri: str) -> int:
        return client.post("/predict", json.dumps({"uri": uri}).encode(), "application/json").status_code

    assert ask(f"s3://{bucket}/in/a.jpg") == 200
    assert ask(f"s3://{bucket}/in/missing.jpg") == 404
    assert ask(f"s3://{bucket}/in/large") == 413
    assert ask(f"s3://{bucket}/inside.jpg") == ask(f"s3://{bucket}/out/a.jpg") == ask("s3://other/in/a.jpg") == 403
    for uri in (
        f"s3://{bucket}/in/../out/a.jpg", f"s3://{bucket}/in//a.jpg", f"s3://{bucket}/in/a.jpg#bytes=0+9", "/etc/passwd",
        "file:///etc/passwd", "http://169.254.169.254/", f"s3://{bucket}", f"s3://{bucket}/in/a\n.jpg", "memory://x/y",
    ):  # fmt: skip
        assert ask(uri) == 400, uri


def test_objects_that_requests_name_count_as_bodies(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.serving.service.fetched", lambda uri, limit, s3: photo(px=int(uri[-3:]), kind="BMP"))
    client = serving(allow=("s3://b",), limits=replace(Limits(), memory_bytes=100_000))

    def ask(px: int) -> int:
        body = json.dumps({"uri": f"s3://b/{px}"}).encode()
        return client.post("/predict", body, "application/json").status_code

    assert (ask(100), ask(400), ask(100)) == (200, 503, 200)
    assert client.service.bodies.held_bytes == 0


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/other", "/v2/models/..%2f..%2fetc%2fpasswd", "/v2/models/../../etc/passwd", "/v2/models/%00",
        "/v2/models/colours/versions/9", "/v2/models/", "/v2/", "/predict/", "//predict", "/docs/x",
    ],
)  # fmt: skip
def test_paths_are_taken_literally(serving: Serving, path: str) -> None:
    assert serving().get(path).status_code == 404


def test_a_wrong_method_is_405_and_names_the_right_ones(serving: Serving) -> None:
    response = serving().get("/predict")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_metrics_count_requests_answers_and_the_version_with_few_series(serving: Serving) -> None:
    client = serving()
    client.post("/predict", photo((120, 120, 110)))
    client.post("/predict", b"bad")
    for number in range(5):
        client.get(f"/random/{number}")
    text = client.get("/metrics").text
    assert 'raytl_requests_total{code="200",path="/predict"} 1' in text
    assert 'raytl_requests_total{code="422",path="/predict"} 1' in text
    assert 'raytl_requests_total{code="404",path="other"} 5' in text
    assert "raytl_unfamiliar_total 1" in text and "raytl_abstained_total 1" in text
    assert 'raytl_answers_total{label="red"} 1' in text
    assert f'version="{client.service.live.current.version}"' in text
    assert "raytl_stale 0" in text and "raytl_body_bytes 0" in text and "raytl_pending_photos 0" in text


def test_what_a_refused_client_still_sends_is_no_time_of_the_request(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, clock = serving().service, [1.0]
    monkeypatch.setattr("raytl.serving.app.time", SimpleNamespace(perf_counter=lambda: clock[0]))

    async def receive() -> dict[str, Any]:
        clock[0] += 5
        return {"type": "http.request", "body": b"x", "more_body": clock[0] < 20}

    async def send(message: Any) -> None:
        clock[0] += 0.25

    scope = {"type": "http", "method": "POST", "path": "/nothing", "headers": [], "client": ("127.0.0.1", 1)}
    asyncio.run(Application(service)(scope, receive, send))
    assert (service.counters.request_s.total, service.counters.request_s.sum) == (1, 0.5)


def test_the_page_needs_nothing_from_elsewhere(serving: Serving) -> None:
    response = serving().get("/docs")
    assert response.status_code == 200
    assert (
        "/v2/models/colours/infer" in response.text
        and "<script" not in response.text
        and "//" not in (response.text.replace("http://localhost", "").replace("s3://bucket", ""))
    )
    assert response.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_openapi_document_has_every_endpoint_and_field(serving: Serving) -> None:
    document = serving().get("/openapi.json").json()
    assert {"/predict", "/metrics", "/v2/models/{name}/infer"} <= document["paths"].keys()
    fields = document["components"]["schemas"]["Answer"]["properties"]
    answer = serving().post("/predict", photo()).json()
    assert answer.keys() <= fields.keys()
    assert document["servers"] == [{"url": "/"}]


def test_a_bundle_in_a_run_is_chosen_by_name(serving: Serving, tmp_path: Path) -> None:
    from raytl.errors import ModelError
    from tests.serving.bundles import write_bundle

    for name in ("fp32", "int8"):
        write_bundle(tmp_path / "run" / "bundles" / name)
    with pytest.raises(ModelError, match="2 bundles .fp32, int8.; choose one with --bundle"):
        serving(model=str(tmp_path / "run"))
    assert serving(model=str(tmp_path / "run"), bundle="int8").service.name == "run"


def test_answers_are_passed_on_after_the_response_with_their_features(serving: Serving) -> None:
    recording = Recording()
    recording.gate.set()
    client = serving(observer=recording)
    photos = [photo((255, 0, 0)), photo((0, 255, 0))]
    assert client.post("/predict", photos[0]).json()["label"] == "red"
    client.post("/predict", files=[("a", ("a.jpg", photos[1])), ("b", ("b.jpg", b"no photo"))])
    assert "raytl_drift 1" in client.get("/metrics").text
    client.service.close()
    version = client.service.live.current.version
    assert (recording.seen, recording.models) == ([version] * 2, [("colours", version)])
    assert recording.photos == photos
    assert [round(float(each.max()), 1) for each in recording.features] == [1.0, 1.0]


def test_an_observer_that_fails_or_hangs_costs_no_answer(serving: Serving) -> None:
    recording = Recording()  # its gate is closed
    client = serving(observer=recording)
    assert [client.post("/predict", photo()).status_code for _ in range(5)] == [200] * 5
    recording.gate.set()


def test_a_sample_of_the_answers_is_recorded_below_the_feedback_uri(serving: Serving, tmp_path: Path) -> None:
    client = serving(feedback=FeedbackOptions(str(tmp_path / "feedback")))
    for color in ((255, 0, 0), (120, 120, 110)):
        assert client.post("/predict", photo(color)).status_code == 200
    client.service.close()
    records = read_records(open_store(str(tmp_path / "feedback")))
    assert {(each.label, each.version) for each in records} == {("red", client.service.live.current.version)}
    assert {"unfamiliar", "abstained"} <= {flag for each in records for flag in each.flags}
    assert "raytl_feedback_seen_total 2" in client.get("/metrics").text
