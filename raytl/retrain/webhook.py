"""One POST to an address that is a secret, with one deadline for all of it: name, connection, TLS, request and answer."""

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
_MOST_BYTES = 8192
"""How much of an answer is read at most; its body is not needed."""
_HEAD = re.compile(rb"(?:\A|\n\r?\n)HTTP/1\.[01] ([2-5]\d\d)[^\n]*(?P<whole>\r?\n(?:[^\r\n][^\n]*\n)*\r?\n)?")
"""An answer's head; those of 100 to 199, which another one follows, are passed over."""


def unfit(url: str) -> str:
    """Return why nothing is sent to `url`, to be read after the name of the variable that holds it; empty where it is fit.

    Raises:
        ValueError: it is no URL at all.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "holds no http(s) URL"
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        return "holds an http:// URL, which sends its secret in clear; expected https://, or a host on this machine"
    return ""


def post(url: str, body: bytes, deadline_s: float = DEADLINE_S) -> int:
    """Send the JSON `body` to `url` and return the status of the answer; redirects are not followed.

    Raises:
        TimeoutError: the exchange was not over `deadline_s` after its start; it was cut off.
        OSError, ValueError, HTTPException: there was no connection or no answer; the text may hold the address.
    """
    exchange = _Exchange(url, body, deadline_s)
    threading.Thread(target=exchange.run, name="raytl-webhook", daemon=True).start()  # DNS knows no timeout
    if not exchange.over.wait(deadline_s) or isinstance(exchange.result, TimeoutError):
        exchange.cut()
        raise TimeoutError(f"not over within {deadline_s:g} s")
    if isinstance(exchange.result, Exception):
        raise exchange.result
    return exchange.result


class _Exchange:
    """One request and its answer, which another thread can cut off."""

    def __init__(self, url: str, body: bytes, deadline_s: float) -> None:
        self._parts, self._body = urlsplit(url), body
        self._connection = _connection(self._parts, deadline_s)
        self._is_cut = False
        self.over = threading.Event()
        self.result: int | Exception = HTTPException("no answer")

    def run(self) -> None:
        """Do it; `result` is then the status, or what went wrong."""
        try:
            self._connection.connect()
            if not self._is_cut:
                self.result = self._answered()
        except Exception as error:  # raised in the thread that waits
            self.result = error
        finally:
            self._connection.close()
            self.over.set()

    def cut(self) -> None:
        """End it now, in whatever it waits for; what was not sent yet is not sent later."""
        self._is_cut = True
        with suppress(OSError, AttributeError):  # not connected yet, or closed by now
            self._connection.sock.shutdown(socket.SHUT_RDWR)

    def _answered(self) -> int:
        target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        headers = {"Content-Type": "application/json", "Connection": "close", **_basic("Authorization", self._parts)}
        self._connection.request("POST", target, self._body, headers)
        head, more = b"", b" "
        while more and len(head) < _MOST_BYTES:
            more = self._connection.sock.recv(_MOST_BYTES - len(head))
            head += more
            if (match := _HEAD.search(head)) and match["whole"]:
                break
        if (match := _HEAD.search(head)) is None:
            raise HTTPException(f"no answer in HTTP/1.1 within {_MOST_BYTES} bytes")
        return int(match[1])


def _connection(parts: SplitResult, deadline_s: float) -> HTTPConnection:
    """Return the connection to make, through the environment's proxy where it names one for https."""
    host = parts.hostname or ""
    if parts.scheme == "http":
        return HTTPConnection(host, parts.port, timeout=deadline_s)
    proxy = "" if proxy_bypass(host) else getproxies().get("https", "")
    if not proxy:
        return HTTPSConnection(host, parts.port, timeout=deadline_s)
    through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    connection = HTTPSConnection(through.hostname or "", through.port or 80, timeout=deadline_s)
    connection.set_tunnel(host, parts.port or 443, _basic("Proxy-Authorization", through))
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
