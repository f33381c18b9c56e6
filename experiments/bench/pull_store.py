"""A bucket for the pull bench: nginx serves its objects from files, so that the server is not the bottleneck.

Objects have the ETags of S3: the MD5 of those uploaded in one request, and for those above 8 MiB, which common tools upload
in parts of 8 MiB, the MD5 of the parts' MD5s. Those uploaded in one request have a CRC32, which boto3 has sent since 2025, and
which is in responses to requests that ask for it. Signatures are ignored.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from experiments.bench.pull_listing import BUCKET

PART_BYTES = 8 << 20
FAR_S = 0.03
INSTALL = "apt-get install nginx-light libnginx-mod-http-headers-more-filter libnginx-mod-http-echo"
_CONFIG = """
load_module {modules}/ngx_http_headers_more_filter_module.so;
load_module {modules}/ngx_http_echo_module.so;
daemon off; worker_processes 2; pid {root}/nginx.pid; error_log {root}/nginx.log warn; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; etag off; keepalive_requests 100000000; keepalive_timeout 300s;
  open_file_cache max={files} inactive=1h; open_file_cache_valid 1h;
  client_body_temp_path {root}/tmp; proxy_temp_path {root}/tmp; fastcgi_temp_path {root}/tmp; uwsgi_temp_path {root}/tmp;
  scgi_temp_path {root}/tmp; proxy_buffers 64 16k; proxy_buffer_size 16k; proxy_max_temp_file_size 0;
  default_type application/octet-stream;
  map_hash_max_size 131072; map_hash_bucket_size 256;
  map $uri $object {{ include {root}/etags.map; }}
  map $http_x_amz_checksum_mode$uri $crc32 {{ include {root}/crc32.map; }}
  map $args $lists {{ default 0; ~list-type=2 1; }}
  upstream listing {{ server unix:{root}/listing.sock; keepalive 16; }}
  server {{ listen 127.0.0.1:{near} backlog=1024; include {root}/bucket.conf;
    location / {{ if ($lists) {{ proxy_pass http://listing; }} }} }}
  server {{ listen 127.0.0.1:{far} backlog=1024; include {root}/bucket.conf;
    location / {{ echo_sleep {far_s}; echo_exec @bucket; }}
    location @bucket {{ if ($lists) {{ proxy_pass http://listing; }} }} }}
}}
"""
_BUCKET = """
root {root}/objects; proxy_http_version 1.1; proxy_set_header Connection "";
# the conditions refer to ETags that nginx's own checks do not know
more_clear_input_headers If-Match If-None-Match If-Range;
add_header ETag $object;
add_header x-amz-checksum-crc32 $crc32;
"""


@dataclass(frozen=True)
class Bucket:
    """The URLs of the server, `far` with a round trip of 30 ms; `keys` maps keys to sizes."""

    near: str
    far: str
    keys: dict[str, int]

    def below(self, prefix: str) -> list[str]:
        """Return the keys with that prefix."""
        return [key for key in self.keys if key.startswith(prefix)]


def objects(root: Path, prefix: str, count: int, size: int) -> None:
    """Write `count` objects of random bytes below `prefix`, in ten folders, if missing."""
    listed = root / f"{prefix}.json"
    if listed.exists():
        return
    rows = []
    for number in range(count):
        key = f"{prefix}/class-{number % 10}/{number:05d}.jpg"
        file = root / "objects" / BUCKET / key
        file.parent.mkdir(parents=True, exist_ok=True)
        content = os.urandom(size)
        file.write_bytes(content)
        rows.append((key, size, etag(content)))
    listed.write_text(json.dumps(rows), encoding="utf-8")


def etag(content: bytes) -> str:
    """Return the ETag of content uploaded by a common tool."""
    if len(content) <= PART_BYTES:
        return hashlib.md5(content, usedforsecurity=False).hexdigest()
    parts = [content[start : start + PART_BYTES] for start in range(0, len(content), PART_BYTES)]
    digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


def crc32_map(root: Path, keys: Iterable[str]) -> str:
    """Return nginx's map from `ENABLED` and an object's path to its CRC32, for those uploaded in one request."""
    files = ((key, root / "objects" / BUCKET / key) for key in keys)
    contents = ((key, file.read_bytes()) for key, file in files if file.stat().st_size <= PART_BYTES)
    values = ((key, base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()) for key, content in contents)
    return "".join(f"ENABLED/{BUCKET}/{key} '{value}';\n" for key, value in values)


@contextmanager
def served(root: Path, sets: dict[str, tuple[int, int]], checksums: bool = True) -> Iterator[Bucket]:
    """Serve the bucket with those sets in the context; without `checksums`, objects have only their ETag."""
    root = root.resolve()
    (root / "tmp").mkdir(parents=True, exist_ok=True)
    rows = []
    for prefix, (count, size) in sets.items():
        objects(root, prefix, count, size)
        rows += json.loads((root / f"{prefix}.json").read_bytes())
    (root / "keys.json").write_text(json.dumps(rows), encoding="utf-8")
    names = "".join(f"/{BUCKET}/{key} '\"{etag}\"';\n" for key, _, etag in rows)
    (root / "etags.map").write_text(names, encoding="utf-8")
    crc32 = crc32_map(root, (key for key, _, _ in rows)) if checksums else ""
    (root / "crc32.map").write_text(crc32, encoding="utf-8")
    near, far = free_port(), free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    (root / "bucket.conf").write_text(_BUCKET.format(root=root), encoding="utf-8")
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    files = min(30_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
    config = _CONFIG.format(root=root, near=near, far=far, far_s=FAR_S, user=user, modules=modules(nginx), files=files)
    (root / "nginx.conf").write_text(config, encoding="utf-8")
    with ExitStack() as stack:
        stack.enter_context(
            running(
                [
                    sys.executable,
                    "-m",
                    "experiments.bench.pull_listing",
                    str(root / "listing.sock"),
                    f"{root}/keys.json",
                ]
            )
        )
        stack.enter_context(
            running([nginx, "-p", str(root), "-c", str(root / "nginx.conf"), "-e", str(root / "nginx.log")])
        )
        bucket = Bucket(f"http://127.0.0.1:{near}", f"http://127.0.0.1:{far}", {key: size for key, size, _ in rows})
        checked(bucket)
        yield bucket


def modules(nginx: str) -> str:
    """Return the folder of nginx's modules; headers-more and echo are required."""
    try:
        said = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=True).stderr
    except FileNotFoundError:
        raise SystemExit(f"{INSTALL} first: the bench's server is nginx") from None
    folder = said.split("--modules-path=")[1].split()[0]
    lacking = [
        name for name in ("headers_more_filter", "echo") if not Path(folder, f"ngx_http_{name}_module.so").exists()
    ]
    if lacking:
        raise SystemExit(f"nginx has no module {', '.join(lacking)} in {folder}; {INSTALL} first")
    return folder


def checked(bucket: Bucket) -> None:
    """Wait until the server responds correctly, or exit."""
    key = next(iter(bucket.keys))
    for _ in range(100):
        try:
            for url in (bucket.near, bucket.far):
                with urllib.request.urlopen(f"{url}/{BUCKET}/{key}") as answer:
                    content = answer.read()
                    assert answer.headers["ETag"] == f'"{etag(content)}"', dict(answer.headers)
                with urllib.request.urlopen(f"{url}/{BUCKET}?list-type=2&prefix={key}") as answer:
                    assert key.encode() in answer.read()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the nginx of the bench does not respond; see nginx.log in its folder")


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server process in the context."""
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
