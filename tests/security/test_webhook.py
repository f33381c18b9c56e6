"""A webhook's server can hold up nothing, is told in clear only on this machine, and sends raytl nowhere else."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from raytl.config.retrain import NotifyConfig
from raytl.events import Message, Recorder
from raytl.retraining.notify import notify
from raytl.retraining.ticks import Tick
from raytl.retraining.webhook import post, url_error
from tests.retraining.conftest import MakeDays, make_days  # noqa: F401 - a fixture

TICK = Tick("20261121T060000Z-abcd", "2026-11-21T06:00:00+00:00", "me", "failed", "failure", error="no data")
CONFIG = NotifyConfig(webhook_env="HOOK")
DEADLINE_S = 0.5
Talk = Callable[[socket.socket, threading.Event], None]
Serve = Callable[[Talk], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server on this machine that talks as it is told, until the test is over; return its port."""
    over = threading.Event()
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(talk: Talk) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(0.05)
        listeners.append(listener)

        def accept() -> None:
            while not over.is_set():
                with suppress(OSError):
                    peer = listener.accept()[0]
                    with peer:
                        peer.settimeout(5)
                        talk(peer, over)

        threads.append(threading.Thread(target=accept, daemon=True))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield start
    over.set()
    for thread in threads:
        thread.join()
    for listener in listeners:
        listener.close()


def asked(peer: socket.socket) -> bytes:
    """Return the whole request."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += peer.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += peer.recv(65536)
    return head + b"\r\n\r\n" + body


def drips(text: bytes, whole: bytes = b"") -> Talk:
    """Answer `whole` at once, and then `text` again and again, a byte at a time."""

    def talk(peer: socket.socket, over: threading.Event) -> None:
        asked(peer)
        peer.sendall(whole)
        while not over.wait(0.02):
            for byte in text:
                peer.sendall(bytes([byte]))

    return talk


def is_silent(_: socket.socket, over: threading.Event) -> None:
    over.wait()


SLOW = {
    "no answer": is_silent,
    "a status line by the byte": drips(b"H"),
    "headers by the byte": drips(b"X", b"HTTP/1.1 200 OK\r\n"),
    "informational answers for ever": drips(b"HTTP/1.1 102 Processing\r\n\r\n"),
}


@pytest.mark.parametrize("talk", SLOW.values(), ids=SLOW)
def test_a_webhook_that_is_slow_is_cut_off_at_the_deadline(
    talk: Talk, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{serve(talk)}/s3cret")
    watcher = Recorder()
    assert not notify(TICK, "toy", "s3://b/m", CONFIG, watcher, deadline_s=DEADLINE_S)
    assert watcher.events == [
        Message("webhook message not sent: the webhook of HOOK did not respond within 0.5 s", "warning")
    ]


def test_a_webhook_whose_tls_handshake_stalls_is_cut_off_at_the_deadline(serve: Serve) -> None:
    with pytest.raises(TimeoutError, match=r"no response within 0\.5 s"):
        post(f"https://127.0.0.1:{serve(is_silent)}/s3cret", b"{}", DEADLINE_S)


def test_a_webhook_whose_name_does_not_resolve_in_time_is_cut_off_and_sent_nothing_later(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, got = threading.Event(), list[bytes]()
    ended = threading.Event()

    def talk(peer: socket.socket, _: threading.Event) -> None:
        got.append(peer.recv(10))
        ended.set()

    port = serve(talk)
    connect = HTTPConnection.connect

    def slow(self: HTTPConnection) -> None:
        late.wait()
        connect(self)

    monkeypatch.setattr(HTTPConnection, "connect", slow)
    with pytest.raises(TimeoutError, match="no response within"):
        post(f"http://localhost:{port}/s3cret", b"{}", 0.05)
    late.set()
    assert ended.wait(30)
    assert got == [b""]


def test_the_body_of_an_answer_is_not_waited_for(serve: Serve) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
    assert post(f"http://127.0.0.1:{serve(drips(b'x', head))}/", b"{}", 30) == 200


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 500 no\r\n\r\n", 500),
        (b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 100_000, 200),
        (b"HTTP/1.0 200 OK\r\n", 200),
    ],
)
def test_a_few_kilobytes_of_an_answer_tell_its_status(answer: bytes, status: int, serve: Serve) -> None:
    def talk(peer: socket.socket, _: threading.Event) -> None:
        asked(peer)
        with suppress(OSError):
            peer.sendall(answer)

    assert post(f"http://127.0.0.1:{serve(talk)}/", b"{}", 30) == status


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"x" * 100_000])
def test_what_is_no_http_is_an_error(answer: bytes, serve: Serve) -> None:
    def talk(peer: socket.socket, _: threading.Event) -> None:
        asked(peer)
        with suppress(OSError):
            peer.sendall(answer)

    with pytest.raises((HTTPException, OSError), match="no HTTP/1.1 response head|reset"):
        post(f"http://127.0.0.1:{serve(talk)}/", b"{}", 30)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere: list[bytes] = []
    other = serve(lambda peer, _: elsewhere.append(peer.recv(100)))

    def talk(peer: socket.socket, _: threading.Event) -> None:
        asked(peer)
        peer.sendall(f"HTTP/1.1 {status} Moved\r\nLocation: http://127.0.0.1:{other}/\r\n\r\n".encode())

    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{serve(talk)}/s3cret")
    watcher = Recorder()
    assert not notify(TICK, "toy", "s3://b/m", CONFIG, watcher)
    assert watcher.events == [
        Message(f"webhook message not sent: the webhook of HOOK returned status {status}", "warning")
    ]
    assert elsewhere == []


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.slack.com/services/T0/B0/x",
        "http://10.0.0.1/x",
        "http://127.0.0.1.evil.example/x",
        "http://127.0.0.1@evil.example/x",
        "http://localhost.evil.example/x",
        "HTTP://example.org/x",
        "http://[2001:db8::1]/x",
    ],
)
def test_a_webhook_in_clear_elsewhere_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", url)
    watcher = Recorder()
    assert not notify(TICK, "toy", "s3://b/m", CONFIG, watcher)
    [event] = watcher.events
    assert isinstance(event, Message)
    assert event.text == (
        "webhook message not sent: HOOK holds an http:// URL, which would send its secret unencrypted; expected https://, or a host on this "
        "machine"
    )


@pytest.mark.parametrize(
    "url",
    ["https://example.org/x", "HTTPS://example.org", "http://localhost:1/x", "http://127.1.2.3/", "http://[::1]:2/x"],
)
def test_https_and_this_machine_are_fit(url: str) -> None:
    assert url_error(url) == ""


@pytest.mark.parametrize("url", ["", "ftp://localhost/x", "file:///etc/x", "http://", "https:///x", "localhost:80/x"])
def test_what_is_no_web_address_is_url_error(url: str) -> None:
    assert url_error(url) == "does not hold an http(s) URL"


def test_a_webhook_gets_the_whole_message_by_its_path_query_and_user(serve: Serve) -> None:
    got: list[bytes] = []

    def talk(peer: socket.socket, _: threading.Event) -> None:
        got.append(asked(peer))
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    assert post(f"http://me:p%40ss@127.0.0.1:{serve(talk)}/a/b?c=d", b'{"text": "x"}', 30) == 200
    head, _, body = got[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a/b?c=d HTTP/1.1\r\n")
    assert b"Authorization: Basic bWU6cEBzcw==" in head
    assert json.loads(body) == {"text": "x"}


def test_a_proxy_of_the_environment_is_used_for_https_only(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[bytes] = []

    def talk(peer: socket.socket, _: threading.Event) -> None:
        got.append(peer.recv(65536))
        peer.sendall(b"HTTP/1.1 403 no\r\n\r\n")

    monkeypatch.setenv("https_proxy", f"http://me:pw@127.0.0.1:{serve(talk)}")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(OSError, match="403"):
        post("https://hooks.example.org/s3cret", b"{}", 30)
    assert got[0].startswith(b"CONNECT hooks.example.org:443 HTTP/1.")
    assert b"Proxy-Authorization: Basic bWU6cHc=" in got[0] and b"s3cret" not in got[0]
    direct = serve(drips(b"x", b"HTTP/1.1 200 OK\r\n\r\n"))
    assert post(f"http://127.0.0.1:{direct}/", b"{}", 30) == 200


def test_a_certificate_that_nobody_signed_is_refused(serve: Serve, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(tmp_path))

    def talk(peer: socket.socket, _: threading.Event) -> None:
        with suppress(OSError), context.wrap_socket(peer, server_side=True) as secure:
            secure.recv(10)

    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
        post(f"https://127.0.0.1:{serve(talk)}/s3cret", b"{}", 30)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Return the files of a certificate for 127.0.0.1 and of its key."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def test_the_lease_is_released_before_the_webhook_is_called(make_days: MakeDays) -> None:  # noqa: F811
    days = make_days()
    seen: list[bool] = []
    found = days.tick(
        after=lambda registry, _: seen.append(json.loads(registry.store.get_bytes("lease.json"))["given_back"])
    )
    assert found.tick is not None and found.tick.outcome == "promote"
    assert seen == [True]
