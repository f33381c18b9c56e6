"""Pull a prefix to this node's cache: download once, refresh by size and ETag, resume after a kill."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from threading import Event

from raytl.disk import disk_error, writing
from raytl.errors import Archived, NotFound, StoreError, Unavailable
from raytl.events import Message, OnEvent, Work, ignore
from raytl.store.archive import restore_advice
from raytl.store.audited import are_marked, identify_cache, mark
from raytl.store.contract import UNKNOWN, ObjectInfo, ObjectStore
from raytl.store.drafts import is_draft
from raytl.store.keys import files_and_markers, invalid_reason, reject_invalid_keys
from raytl.store.open import open_store
from raytl.store.pins import make_room, pin
from raytl.store.pulled import Place, place_of, record, recorded, recorded_as, row_of, sizes_below
from raytl.store.readers import is_read
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.throttle import Throttle

_THREADS = 32
_EVENT_EVERY_S = 0.1
_MAX_ARCHIVE_CHECKS = 16
_SCANNED = (".csv", ".tsv", ".parquet", ".jsonl", ".json", ".xml", ".txt", ".yaml", ".yml")
"""Endings of tables and annotations: they are read before images are, and no more after that."""


def pull(
    uri: str, on_event: OnEvent = ignore, only: Collection[str] | None = None, s3: S3Settings = ENVIRONMENT
) -> Path:
    """Pull the objects below `uri` to this node and return their folder; with `only`, pull those of its keys that exist.

    Unchanged files (by size and ETag) are not downloaded again, and files that were deleted in the store are deleted here.
    Processes that pull the same URI wait for each other.

    Raises:
        NotFound: `uri` is empty.
        DataError: a key cannot be a file name here.
        StoreError: the store cannot be read, an object is archived, or files that a process reads would be replaced or deleted.
    """
    store = open_store(uri, s3)
    place = place_of(store.uri, s3)
    with _pinned(store, place):
        _pull(store, place, only, on_event, s3)
    return place.files


def fetch(
    uri: str, wanted: Sequence[ObjectInfo], name: str, on_event: OnEvent = ignore, s3: S3Settings = ENVIRONMENT
) -> Path | None:
    """Download objects below `uri` that are known by key and SHA-256, without a listing; return their folder as `pull` does.

    Return None, and download nothing, if some are here: only a listing can tell whether they are current. `name` identifies the
    objects and their digests for `fetched_folder`.

    Raises:
        NotFound: one does not exist, or has another SHA-256.
        DataError: a key cannot be a file name here.
        StoreError: the store cannot be read.
    """
    store = open_store(uri, s3)
    place = place_of(store.uri, s3)
    reject_invalid_keys(store.uri, wanted)
    with _pinned(store, place):
        here = sizes_below(place.files)
        if any(info.key in here for info in wanted):
            return None
        retained = recorded(place)
        record(place, retained | _fetch(store, place, wanted, on_event))
        mark([place], [name])
    return place.files


def fetched_folder(uri: str, name: str, s3: S3Settings = ENVIRONMENT) -> Path | None:
    """Return the folder of objects that `fetch` downloaded under this name, unless a pull changed some since; else None."""
    place = place_of(open_store(uri, s3).uri, s3)
    pin(place.root)
    return place.files if are_marked([place], [name]) else None


def pulled_name(uri: str, s3: S3Settings = ENVIRONMENT) -> str:
    """Return the name of the folder that `pull` makes for `uri`, on every node."""
    return place_of(open_store(uri, s3).uri, s3).root.name


@contextmanager
def _pinned(store: ObjectStore, place: Place) -> Iterator[None]:
    """Hold the folder, pinned and locked, and translate disk errors."""
    try:
        pin(place.root)
        identify_cache()
        with _locked(place):
            yield
    except OSError as exc:
        problem = disk_error(exc, str(place.root)) or f"{place.root}: {exc.strerror or exc}."
        raise StoreError(f"{store.uri}: {problem} Set RAYTL_CACHE to use a larger disk.") from exc


def not_pulled(objects: Mapping[str, ObjectInfo], s3: S3Settings = ENVIRONMENT) -> dict[str, ObjectInfo]:
    """Return the listed objects, by URI, that `pull` would have to download to this node."""
    here: dict[str, dict[str, ObjectInfo]] = {}
    missing = {}
    for uri, info in objects.items():
        root = uri.removesuffix(f"/{info.key}")
        if root not in here:
            place = place_of(root, s3)
            sizes = sizes_below(place.files) if place.files.is_dir() else {}
            here[root] = {key: row for key, row in recorded(place).items() if sizes.get(key) == row.size}
        if here[root].get(info.key) != info:
            missing[uri] = info
    return missing


def listing(store: ObjectStore, only: Collection[str] | None = None, on_event: OnEvent = ignore) -> list[ObjectInfo]:
    """Return the objects in the store; with `only`, those of its keys that exist. Folder markers are skipped and counted.

    Raises:
        NotFound: none of them exists.
        DataError: a key cannot be a file name.
        StoreError: the store cannot be read.
    """
    files, markers = files_and_markers(_wanted(store, only))
    reject_invalid_keys(store.uri, files)
    if markers:
        examples = ", ".join(repr(key or "/") for key in markers[:3])
        on_event(Message(f"{store.uri}: skipped folder markers (empty objects): {len(markers)}, such as {examples}"))
    return files


def refuse_archived(objects: Mapping[str, ObjectInfo], s3: S3Settings = ENVIRONMENT) -> None:
    """Raise an Archived error if some of these objects, by URI, must be restored before they can be read.

    A listing does not show which ones are restored, so some are checked; a later read reports any other.
    """
    archived = {uri: info.archive for uri, info in objects.items() if info.archive}
    checked = dict(islice(archived.items(), _MAX_ARCHIVE_CHECKS))
    waiting = [uri for uri in checked if _is_archived(uri, s3)]
    if waiting:
        classes = ", ".join(sorted(set(archived.values())))
        count = f"{len(archived)}" if len(waiting) == len(checked) else f"at least {len(waiting)}"
        raise Archived(
            f"{count} of {len(objects)} objects are archived ({classes}), such as\n"
            + "".join(f"  {uri}\n" for uri in waiting[:3])
            + f"For each, {restore_advice(waiting[0])}."
        )


def _is_archived(uri: str, s3: S3Settings) -> bool:
    folder, _, name = uri.rpartition("/")
    return bool(retried(lambda: open_store(folder, s3).stat(name)).archive)


def _pull(store: ObjectStore, place: Place, only: Collection[str] | None, on_event: OnEvent, s3: S3Settings) -> None:
    with ThreadPoolExecutor(1) as pool:  # the disk is read while the store answers
        before = pool.submit(sizes_below, place.files)
        wanted = listing(store, only, on_event)
        here = before.result()
    pulled = recorded_as(place, wanted)
    missing = [info for info in wanted if here.get(info.key) != info.size or not _is_same(pulled.get(info.key), info)]
    refuse_archived({f"{store.uri}/{info.key}": info for info in missing}, s3)
    rows = {info.key: info for info in wanted}
    deleted = _deleted(here, rows, only)
    _refuse_if_read(store, place, [info.key for info in missing if info.key in here], deleted)
    if missing or deleted:
        shutil.rmtree(place.fetched, ignore_errors=True)
    stale = {info.key for info in missing}
    retained = {key: info for key, info in pulled.items() if key not in stale}
    if len(retained) < len(pulled):
        record(place, retained)
    if missing:
        make_room(sum(info.size for info in missing))
        _fetch(store, place, missing, on_event)
    _finish(place, rows, retained, deleted, only)


def _deleted(here: Collection[str], rows: Collection[str], only: Collection[str] | None) -> list[str]:
    """Return the keys of files that the store no longer has; of others than `only`, a listing says nothing."""
    checked = here if only is None else set(only).intersection(here)
    return [key for key in checked if key not in rows and not invalid_reason(key)]


def _refuse_if_read(store: ObjectStore, place: Place, replaced: Iterable[str], deleted: Iterable[str]) -> None:
    """Raise a StoreError if a process reads images of the place now and some would be replaced or deleted."""
    replaced, deleted = ([key for key in keys if _is_read_later(key)] for keys in (replaced, deleted))
    if (replaced or deleted) and is_read(place):
        examples = ", ".join(map(repr, sorted([*replaced, *deleted])[:3]))
        raise StoreError(
            f"{store.uri}: {len(replaced)} objects were replaced and {len(deleted)} removed since they were pulled to this node, "
            f"such as {examples}, and a process still reads the earlier files; they were left as they are. Wait until it ends, "
            "or set RAYTL_CACHE to another folder to pull a second copy"
        )


def _is_read_later(key: str) -> bool:
    return not key.lower().endswith(_SCANNED) and not is_draft(key.rpartition("/")[2])


def _is_same(pulled: ObjectInfo | None, info: ObjectInfo) -> bool:
    return pulled is info or pulled == info


@contextmanager
def _locked(place: Place) -> Iterator[None]:
    """Hold the folder's lock, which the kernel releases when the process dies."""
    place.files.mkdir(parents=True, exist_ok=True)
    with (place.root / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not place.readers.exists():
            place.readers.touch()
        yield


def _wanted(store: ObjectStore, only: Collection[str] | None) -> list[ObjectInfo]:
    prefix = os.path.commonprefix(list(only)) if only else ""  # noqa: RUF071 - keys are not paths
    infos = retried(lambda: list(store.list(prefix, markers=True)))
    if only is not None:
        requested = set(only)
        infos = [info for info in infos if info.key in requested]
    if not infos:
        raise NotFound(
            f"{store.uri}: found {_none_of(only or ())} there; check the bucket, the prefix and AWS_ENDPOINT_URL"
        )
    return infos


def _none_of(keys: Collection[str]) -> str:
    """Return the text for missing keys, or for an empty prefix."""
    few = ", ".join(map(repr, sorted(keys)[:3]))
    return "nothing" if not keys else f"none of {few}" + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _fetch(store: ObjectStore, place: Place, missing: Sequence[ObjectInfo], on_event: OnEvent) -> dict[str, ObjectInfo]:
    """Download the missing files, record each one once it is whole, and return them by key."""
    arrived: dict[str, ObjectInfo] = {}
    _make_folders(place, [info.key for info in missing])
    throttle, moved = Throttle(_EVENT_EVERY_S), 0
    arriving = closing(_arrivals(store, place, missing))
    with writing(place.journal), place.journal.open("a") as journal, arriving as arrivals:
        for done, info in enumerate(arrivals, start=1):
            journal.write(f"{row_of(info)}\n")
            arrived[info.key] = info
            moved += info.size
            if throttle.is_due() or done == len(missing):
                journal.flush()
                on_event(Work(f"pull {store.uri}", done, len(missing), "files", moved))
    return arrived


def _make_folders(place: Place, keys: Iterable[str]) -> None:
    """Create the folders of the keys; remove files where a folder must be, and folders where a file must be."""
    top = str(place.files)
    folders = set()
    for key in keys:
        folders.add(key.rpartition("/")[0])
        if os.path.isdir(f"{top}/{key}"):  # noqa: PTH112 - a path object costs ten times the call
            shutil.rmtree(f"{top}/{key}")
    for folder in folders:
        for parent in reversed(Path(folder).parents):
            if (place.files / parent).is_file():
                (place.files / parent).unlink()
        if (place.files / folder).is_file():
            (place.files / folder).unlink()
        (place.files / folder).mkdir(parents=True, exist_ok=True)


def _arrivals(store: ObjectStore, place: Place, missing: Sequence[ObjectInfo]) -> Generator[ObjectInfo, None, None]:
    """Yield the missing objects as they arrive: in bulk if the store can, the rest by threads with retries."""
    arrived = set()
    if missing[0].size == UNKNOWN:  # nothing was listed: the first read finds the address of the others
        arrived.add(missing[0].key)
        yield _fetched(store, place, missing[0])
    with closing(store.get_files(missing[len(arrived) :], place.files)) as arrivals:
        for info in arrivals:
            arrived.add(info.key)
            yield info
    remaining, stopped = [info for info in missing if info.key not in arrived], Event()

    def pause(seconds: float) -> None:
        if stopped.wait(seconds):
            raise Unavailable("the pull was stopped")

    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            yield from pool.map(lambda info: _fetched(store, place, info, pause), remaining)
        except BaseException:  # also Ctrl-C: each thread ends with the request that it has sent
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


def _fetched(
    store: ObjectStore, place: Place, info: ObjectInfo, pause: Callable[[float], None] | None = None
) -> ObjectInfo:
    """Download one object, with retries after `pause`."""
    path = place.files / info.key
    listed = retried(lambda: store.stat(info.key), pause=pause) if info.size == UNKNOWN else info
    retried(lambda: store.get_to_file(info.key, path, listed.size, info.etag or None), pause=pause)
    if info.size == UNKNOWN:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != info.sha256:
                raise NotFound(
                    f"{store.uri}/{info.key}: no longer has the recorded SHA-256; it was replaced. Run again"
                )
    return listed


def _finish(
    place: Place,
    rows: Mapping[str, ObjectInfo],
    retained: Mapping[str, ObjectInfo],
    deleted: Iterable[str],
    only: Collection[str] | None,
) -> None:
    """Delete the files that the store no longer has, then write the list of files."""
    for key in deleted:
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            (place.files / key).unlink()
    requested = set(only or ())
    others = {} if only is None else {key: info for key, info in retained.items() if key not in requested}
    rows = {**others, **rows}
    if rows != retained or place.journal.exists() or not place.manifest.exists():
        record(place, rows)
