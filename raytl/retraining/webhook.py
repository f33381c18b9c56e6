"""One POST to a secret URL, with one deadline for all of it: DNS, connection, TLS, request and response."""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
import threading
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

DEADLINE_S = 15.0
_MAX_HEAD_BYTES = 8192
"""The longest response head that is read; the body is ignored."""
_HEAD = re.compile(rb"(?:\A|\n\r?\n)HTTP/1\.[01] ([2-5]\d\d)[^\n]*(?P<whole>\r?\n(?:[^\r\n][^\n]*\n)*\r?\n)?")
"""The head of a final response; interim ones (status 100 to 199) are skipped."""


def url_error(url: str) -> str:
    """Return why `url` is refused, worded to follow the name of the variable that holds it; empty if it is accepted.

    Raises:
        ValueError: it is not a URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "does not hold an http(s) URL"
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        return "holds an http:// URL, which would send its secret unencrypted; expected https://, or a host on this machine"
    return ""


def post(url: str, body: bytes, deadline_s: float = DEADLINE_S) -> int:
    """Send the JSON `body` to `url` and return the response's status; redirects are not followed.

    Raises:
        TimeoutError: the exchange took longer than `deadline_s` and was aborted.
        OSError, ValueError, HTTPException: no connection or no response; the text may contain the URL.
    """
    exchange = _Exchange(url, body, deadline_s)
    threading.Thread(target=exchange.run, name="raytl-webhook", daemon=True).start()  # DNS lookups have no timeout
    if not exchange.over.wait(deadline_s) or isinstance(exchange.result, TimeoutError):
        exchange.abort()
        raise TimeoutError(f"no response within {deadline_s:g} s")
    if isinstance(exchange.result, Exception):
        raise exchange.result
    return exchange.result


class _Exchange:
    """One request and its response, which another thread can abort."""

    def __init__(self, url: str, body: bytes, deadline_s: float) -> None:
        self._parts, self._body = urlsplit(url), body
        self._connection = _connection(self._parts, deadline_s)
        self._is_aborted = False
        self.over = threading.Event()
        self.result: int | Exception = HTTPException("no response")

    def run(self) -> None:
        """Run the exchange; `result` is then the status or the error."""
        try:
            self._connection.connect()
            if not self._is_aborted:
                self.result = self._status()
        except Exception as error:  # raised again in the waiting thread
            self.result = error
        finally:
            self._connection.close()
            self.over.set()

    def abort(self) -> None:
        """Shut the connection down, whatever it waits for; nothing more is sent."""
        self._is_aborted = True
        with suppress(OSError, AttributeError):  # not connected yet, or already closed
            self._connection.sock.shutdown(socket.SHUT_RDWR)

    def _status(self) -> int:
        target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        headers = {"Content-Type": "application/json", "Connection": "close", **_basic("Authorization", self._parts)}
        self._connection.request("POST", target, self._body, headers)
        head, more = b"", b" "
        while more and len(head) < _MAX_HEAD_BYTES:
            more = self._connection.sock.recv(_MAX_HEAD_BYTES - len(head))
            head += more
            if (match := _HEAD.search(head)) and match["whole"]:
                break
        if (match := _HEAD.search(head)) is None:
            raise HTTPException(f"no HTTP/1.1 response head within {_MAX_HEAD_BYTES} bytes")
        return int(match[1])


def _connection(parts: SplitResult, deadline_s: float) -> HTTPConnection:
    """Return the connection, through the https proxy of the environment if there is one."""
    host = parts.hostname or ""
    if parts.scheme == "http":
        return HTTPConnection(host, parts.port, timeout=deadline_s)
    proxy = "" if proxy_bypass(host) else getproxies().get("https", "")
    if not proxy:
        return HTTPSConnection(host, parts.port, timeout=deadline_s)
    server = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    connection = HTTPSConnection(server.hostname or "", server.port or 80, timeout=deadline_s)
    connection.set_tunnel(host, parts.port or 443, _basic("Proxy-Authorization", server))
    return connection


def _basic(header: str, parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {header: f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
