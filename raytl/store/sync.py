"""A store's prefix on this node's disk: fetched once, refreshed by comparing sizes and ETags, resumed after a kill."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

from raytl.errors import NotFound, StoreError
from raytl.events import OnEvent, Work, ignore
from raytl.store.cache import cache_root
from raytl.store.claims import claim
from raytl.store.contract import ObjectInfo, ObjectStore
from raytl.store.files import PARTIAL, written_whole
from raytl.store.open import open_store
from raytl.store.retry import retried

_THREADS = 32
_EVENT_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class _Place:
    """A pulled URI's folder in the node's cache: its files, what is known of them, and its lock."""

    root: Path

    @property
    def files(self) -> Path:
        return self.root / "files"

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def journal(self) -> Path:
        return self.root / "journal.jsonl"


def pull(uri: str, on_event: OnEvent = ignore, only: Collection[str] | None = None) -> Path:
    """The folder on this node that holds what is below `uri` now; with `only`, those of its keys that there are.

    Files of the same size and ETag as last time are not fetched again, and files that went away there go away here.
    Processes that pull the same URI wait for each other.

    Raises:
        NotFound: nothing is below `uri`.
        StoreError: the store cannot be read, or a key cannot be a file name here.
    """
    store = open_store(uri)
    place = _place(store.uri)
    try:
        claim(place.root)
        with _locked(place):
            _pull(store, place, only, on_event)
    except OSError as exc:
        raise StoreError(
            f"{store.uri}: cannot be kept in {place.root} ({exc.strerror or exc}); make room there, or set RAYTL_CACHE to a "
            "larger disk: the same command goes on from what is here"
        ) from exc
    return place.files


def _place(uri: str) -> _Place:
    return _Place(cache_root() / "pulled" / hashlib.sha256(uri.encode()).hexdigest()[:24])


def not_here(objects: Mapping[str, ObjectInfo]) -> dict[str, ObjectInfo]:
    """Those of the listed objects, by URI, that `pull` would have to fetch to this node."""
    places: dict[str, tuple[_Place, dict[str, ObjectInfo]]] = {}
    missing = {}
    for uri, info in objects.items():
        root = uri.removesuffix(f"/{info.key}")
        if root not in places:
            places[root] = (_place(root), _known(_place(root)))
        if not _here(places[root][0], info, places[root][1]):
            missing[uri] = info
    return missing


def listing(store: ObjectStore, only: Collection[str] | None = None) -> list[ObjectInfo]:
    """What is in the store now; with `only`, those of its keys that there are.

    Raises:
        NotFound: none of it is there.
        StoreError: the store cannot be read, or a key cannot be a file name.
    """
    found = _wanted(store, only)
    _refuse_odd_keys(store.uri, [info.key for info in found])
    return found


def _pull(store: ObjectStore, place: _Place, only: Collection[str] | None, on_event: OnEvent) -> None:
    wanted = listing(store, only)
    known = _known(place)
    missing = [info for info in wanted if not _here(place, info, known)]
    stale = {info.key for info in missing}
    kept = {key: info for key, info in known.items() if key not in stale}
    _record(place, kept)
    _fetch(store, place, missing, on_event)
    _finish(place, wanted, kept, only)


@contextmanager
def _locked(place: _Place) -> Iterator[None]:
    """Holds the place's lock, which the kernel lets go of when the process dies."""
    place.files.mkdir(parents=True, exist_ok=True)
    with (place.root / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _wanted(store: ObjectStore, only: Collection[str] | None) -> list[ObjectInfo]:
    prefix = os.path.commonprefix(list(only)) if only else ""  # noqa: RUF071 - of keys, which are no paths
    found = retried(lambda: list(store.list(prefix)))
    if only is not None:
        asked = set(only)
        found = [info for info in found if info.key in asked]
    if not found:
        sought = f"{sorted(only)[:3]}" if only else "anything"
        raise NotFound(f"{store.uri}: found no {sought} there; check the bucket, the prefix and AWS_ENDPOINT_URL")
    return found


def _refuse_odd_keys(uri: str, keys: Iterable[str]) -> None:
    """Raises for keys that would leave the folder, or that no file system can hold side by side."""
    files = set(keys)
    folders = {"/".join(key.split("/")[:depth]) for key in files for depth in range(1, key.count("/") + 1)}
    odd = sorted(key for key in files if _is_odd(key) or key in folders)
    if odd:
        raise StoreError(
            f"{uri}: {len(odd)} keys cannot be files here, such as {', '.join(map(repr, odd[:3]))}; "
            "expected names without '..', empty parts or NUL, of at most 255 bytes, that are not also a folder: rename them"
        )


def _is_odd(key: str) -> bool:
    parts = key.split("/")
    return "\0" in key or any(
        part in ("", ".", "..") or len(part.encode("utf-8", "surrogateescape")) > 255 for part in parts
    )


def _known(place: _Place) -> dict[str, ObjectInfo]:
    """What was fetched whole: the last finished pull's list, and the journal of one that was killed."""
    known = {}
    if place.manifest.exists():
        known = {row["key"]: ObjectInfo(**row) for row in json.loads(place.manifest.read_text())}
    if place.journal.exists():
        for line in place.journal.read_text().split("\n"):
            try:
                row = json.loads(line)
            except ValueError:  # torn by a kill
                continue
            known[row["key"]] = ObjectInfo(**row)
    return known


def _here(place: _Place, info: ObjectInfo, known: Mapping[str, ObjectInfo]) -> bool:
    try:
        return known.get(info.key) == info and (place.files / info.key).stat().st_size == info.size
    except OSError:
        return False


def _fetch(store: ObjectStore, place: _Place, missing: list[ObjectInfo], on_event: OnEvent) -> None:
    said = 0.0
    with place.journal.open("a") as journal, ThreadPoolExecutor(_THREADS) as pool:
        try:
            for done, info in enumerate(pool.map(lambda info: _fetched(store, place, info), missing), start=1):
                journal.write(json.dumps(asdict(info)) + "\n")
                if monotonic() - said >= _EVENT_EVERY_S or done == len(missing):
                    journal.flush()
                    said = monotonic()
                    on_event(Work(f"pull {store.uri}", done, len(missing), "files"))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fetched(store: ObjectStore, place: _Place, info: ObjectInfo) -> ObjectInfo:
    """Fetches one object; what is in its way, a file where a folder is needed or a folder of its name, goes."""
    target = place.files / info.key
    for parent in reversed(target.relative_to(place.files).parents[:-1]):
        if (place.files / parent).is_file():
            (place.files / parent).unlink(missing_ok=True)
    retried(lambda: store.get_to_file(info.key, target))
    found = target.stat().st_size
    if found != info.size:
        raise StoreError(
            f"{store.uri}/{info.key}: fetched {found} bytes, but the listing said {info.size}: it changed meanwhile; run again"
        )
    return info


def _finish(
    place: _Place, wanted: list[ObjectInfo], known: Mapping[str, ObjectInfo], only: Collection[str] | None
) -> None:
    """Writes down what is here, last, and removes what is there no more."""
    rows = {info.key: info for info in wanted}
    if only is None:
        here = {path.relative_to(place.files).as_posix() for path in place.files.rglob("*") if path.is_file()}
    else:
        here = {key for key in only if not _is_odd(key) and (place.files / key).is_file()}
    for key in here - rows.keys():
        (place.files / key).unlink()
    asked = set(only or ())
    others = {} if only is None else {key: info for key, info in known.items() if key not in asked}
    rows = {**others, **rows}
    _record(place, rows)


def _record(place: _Place, rows: Mapping[str, ObjectInfo]) -> None:
    """Writes down what is here whole; the journal then has nothing more to say."""
    with written_whole(place.manifest) as part:
        part.write_text(json.dumps([asdict(info) for info in rows.values()]))
    place.journal.unlink(missing_ok=True)


assert PARTIAL.startswith(
    "."
)  # a part that a killed pull left is hidden from scans until the next whole pull removes it
