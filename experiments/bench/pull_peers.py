"""The other clients of the pull bench, each in idiomatic code, run by the Python of its own environment.

    PYTHON pull_peers.py NAME URL PREFIX FOLDER      # downloads files that differ in size, and prints {"seconds": ...}

AWS_ENDPOINT_URL, the region and credentials come from the environment. Imports are local, because each client has its own
environment.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import select
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BUCKET = "bench"
THREADS = 32


def missing(objects: Iterable[tuple[str, int]], prefix: str, folder: Path) -> list[tuple[str, Path]]:
    """Return the keys missing in the folder, or of another size, with their paths."""
    places = [(key, folder / key[len(prefix) + 1 :], size) for key, size in objects]
    wanted = [(key, place) for key, place, size in places if not place.exists() or place.stat().st_size != size]
    for parent in {place.parent for _, place in wanted}:
        parent.mkdir(parents=True, exist_ok=True)
    return wanted


def boto3(url: str, prefix: str, folder: Path) -> None:
    """Call get_object in a pool of threads."""
    import boto3
    from botocore.client import Config

    client = boto3.client("s3", config=Config(max_pool_connections=THREADS))

    def get(item: tuple[str, Path]) -> None:
        with item[1].open("wb") as file:
            shutil.copyfileobj(client.get_object(Bucket=BUCKET, Key=item[0])["Body"], file, 1 << 20)

    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
    wanted = missing(((row["Key"], row["Size"]) for page in pages for row in page["Contents"]), prefix, folder)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(get, wanted))


def obstore(url: str, prefix: str, folder: Path) -> None:
    """Use the synchronous API in a pool of threads; stream large objects."""
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        BUCKET, endpoint=url, client_options={"allow_http": True, "timeout": "10m"}, virtual_hosted_style_request=False
    )

    def get(item: tuple[str, Path]) -> None:
        answer = obstore.get(store, item[0])
        with item[1].open("wb") as file:
            if answer.meta["size"] < 1 << 23:
                file.write(answer.bytes())
            else:
                for chunk in answer.stream(min_chunk_size=1 << 20):
                    file.write(chunk)

    objects = ((row["path"], row["size"]) for rows in obstore.list(store, f"{prefix}/") for row in rows)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(get, missing(objects, prefix, folder)))


def obstore_async(url: str, prefix: str, folder: Path) -> None:
    """Use the asynchronous API with a fixed number of concurrent calls."""
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        BUCKET, endpoint=url, client_options={"allow_http": True, "timeout": "10m"}, virtual_hosted_style_request=False
    )
    objects = ((row["path"], row["size"]) for rows in obstore.list(store, f"{prefix}/") for row in rows)
    wanted = iter(missing(objects, prefix, folder))

    async def get() -> None:
        for key, place in wanted:
            answer = await obstore.get_async(store, key)
            with place.open("wb") as file:
                async for chunk in answer.stream(min_chunk_size=1 << 20):
                    file.write(chunk)

    async def everything() -> None:
        await asyncio.gather(*(get() for _ in range(THREADS)))

    asyncio.run(everything())


def s3fs(url: str, prefix: str, folder: Path) -> None:
    """Call `get` with the list of missing keys."""
    from s3fs import S3FileSystem

    files = S3FileSystem(endpoint_url=url)
    objects = files.find(f"{BUCKET}/{prefix}", detail=True)
    wanted = missing(((name[len(BUCKET) + 1 :], row["size"]) for name, row in objects.items()), prefix, folder)
    if wanted:
        files.get([f"{BUCKET}/{key}" for key, _ in wanted], [str(place) for _, place in wanted])


def ceiling(url: str, prefix: str, folder: Path) -> None:
    """Download and discard the same bytes over keep-alive connections without signatures: the limit of server and sockets.
    One process per core."""
    rows = json.loads((folder / f"{prefix}.json").read_bytes())
    cores = os.cpu_count() or 1
    children = []
    for number in range(cores):
        child = os.fork()
        if not child:
            drain(url, [key for key, _, _ in rows[number::cores]], THREADS // cores)
            os._exit(0)
        children.append(child)
    if any(os.waitpid(child, 0)[1] for child in children):
        raise SystemExit("the ceiling failed")


def drain(url: str, keys: list[str], connections: int) -> None:
    """Request the keys and discard the responses."""
    host, port = url.removeprefix("http://").split(":")
    todo, waiting, left = iter(keys), select.epoll(), {}
    buffer = memoryview(bytearray(1 << 18))

    def ask(sock: socket.socket) -> None:
        key = next(todo, None)
        if key is None:
            left.pop(sock.fileno(), None)
            waiting.unregister(sock)
        else:
            sock.sendall(f"GET /{BUCKET}/{key} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            left[sock.fileno()] = (sock, -1)

    for _ in range(connections):
        sock = socket.create_connection((host, int(port)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting.register(sock, select.EPOLLIN)
        ask(sock)
    while left:
        for number, _ in waiting.poll():
            sock, length = left[number]
            came = sock.recv_into(buffer)
            if length < 0:  # the headers arrive in one piece, because they are small
                head = bytes(buffer[: min(came, 2048)])
                end = head.index(b"\r\n\r\n")
                length = end + 4 + int(head[:end].lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            left[number] = (sock, length - came)
            if length == came:
                ask(sock)


CONTENDERS: dict[str, Callable[[str, str, Path], None]] = {
    contender.__name__: contender for contender in (boto3, obstore, obstore_async, s3fs, ceiling)
}


def main() -> None:
    """Run one contender once."""
    name, url, prefix, folder = sys.argv[1:]
    importlib.import_module({"obstore_async": "obstore", "ceiling": "socket"}.get(name, name))
    began = time.perf_counter()
    CONTENDERS[name](url, prefix, Path(folder))
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
