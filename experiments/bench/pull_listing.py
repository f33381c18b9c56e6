"""ListObjectsV2 for the pull bench: serve pages of sorted keys from memory, in half a millisecond per page.

python -m experiments.bench.pull_listing SOCKET KEYS.json     # nginx forwards listing requests to it
"""

from __future__ import annotations

import json
import sys
from bisect import bisect_left
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any, overload
from urllib.parse import parse_qs, quote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "bench"
MILLION = "million"
"""The prefix of a million keys without objects, for measuring their listing."""
Row = tuple[str, int, str]


class Million(Sequence[Row]):
    """A million rows in a thousand folders, computed on access."""

    def __len__(self) -> int:
        return 1_000_000

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        if isinstance(at, slice):
            return [self[number] for number in range(*at.indices(len(self)))]
        if at >= len(self):
            raise IndexError(at)
        return f"{MILLION}/class-{at // 1000:03d}/{at:06d}.jpg", 15360, f"{at:032x}"


def page(rows: Sequence[Row], query: dict[str, str]) -> bytes:
    """Return the response to a listing request."""
    prefix, delimiter, limit = query.get("prefix", ""), query.get("delimiter", ""), int(query.get("max-keys", 1000))
    begin = query.get("continuation-token") or query.get("start-after", "")
    at = bisect_left(rows, max(prefix, begin + "\0" if begin else ""), key=lambda row: row[0])
    contents: list[Row] = []
    folders: list[str] = []
    last = ""
    while at < len(rows) and len(contents) + len(folders) < limit and rows[at][0].startswith(prefix):
        key = last = rows[at][0]
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        if end < 0:
            contents.append(rows[at])
            at += 1
        else:
            folders.append(key[: end + 1])
            last = key[: end + 1] + "\U0010ffff"
            at = bisect_left(rows, last, key=lambda row: row[0])
    more = at < len(rows) and rows[at][0].startswith(prefix)
    return _xml(query, contents, folders, last if more else "")


def _xml(query: dict[str, str], contents: list[Row], folders: list[str], token: str) -> bytes:
    encoded = quote if query.get("encoding-type") == "url" else escape
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{BUCKET}</Name><Prefix>{encoded(query.get('prefix', ''))}</Prefix>"
        f"<KeyCount>{len(contents) + len(folders)}</KeyCount><MaxKeys>{query.get('max-keys', 1000)}</MaxKeys>"
        f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>"
    ]
    if "encoding-type" in query:
        parts.append("<EncodingType>url</EncodingType>")
    if "delimiter" in query:
        parts.append(f"<Delimiter>{encoded(query['delimiter'])}</Delimiter>")
    if token:
        parts.append(f"<NextContinuationToken>{escape(token)}</NextContinuationToken>")
    parts += [
        f"<Contents><Key>{encoded(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for key, size, etag in contents
    ]
    parts += [f"<CommonPrefixes><Prefix>{encoded(folder)}</Prefix></CommonPrefixes>" for folder in folders]
    return "".join([*parts, "</ListBucketResult>"]).encode()


class Listing(ThreadingMixIn, UnixStreamServer):
    """Serve the rows on a Unix socket."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, socket: Path, rows: Sequence[Row]) -> None:
        super().__init__(str(socket), _Handler)
        self.rows, self.million = rows, Million()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Listing

    def do_GET(self) -> None:
        query = {
            name: values[0] for name, values in parse_qs(urlsplit(self.path).query, keep_blank_values=True).items()
        }
        query = {name: value for name, value in query.items() if value or name == "prefix"}
        rows = self.server.million if query.get("prefix", "").startswith(MILLION) else self.server.rows
        body = page(rows, query)
        self.send_response_only(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "nginx"

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def main() -> None:
    """Serve until terminated."""
    socket, keys = Path(sys.argv[1]), Path(sys.argv[2])
    socket.unlink(missing_ok=True)
    rows: list[Row] = sorted((key, size, etag) for key, size, etag in json.loads(keys.read_bytes()))
    with Listing(socket, rows) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
