"""A folder of this node as the working copy of what is below a URI: fetched before, pushed after, and never half.

A checkpoint is a folder that is replaced as a whole, on the store too: its files go under a new name
(`checkpoints/best/<token>/...`), then `checkpoints/best/WHOLE.json` names that and their digests. So a checkpoint is
there once WHOLE.json says so, and a reader that finds other bytes than it says does not take them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from raytl.disk import writing
from raytl.errors import Conflict, NotFound, RunError, Unavailable
from raytl.run.atomic import replace_dir, write_json
from raytl.store.contract import ABSENT, ObjectInfo, ObjectStore
from raytl.store.lease import KEY as LEASE
from raytl.store.retry import retried

WHOLE = "WHOLE.json"
BEST, LAST = "checkpoints/best", "checkpoints/last"
_FOLDER = re.compile(r"(?:.*/)?checkpoints/(?:best|last)(?=/|$)")
"""What is replaced as a whole: the checkpoints of a run, and those of runs below it."""
_ONE_BY_ONE = {"test_ledger.jsonl"}
"""Files that several machines may want to add to: nobody writes over another's line."""
_PASSING = ("-journal", "-wal", "-shm")
"""What SQLite has beside a database in the middle of a write."""
_MEMORY = ".mirror.json"
_THREADS = 16
_SMALL_BYTES = 8 << 20
_READS = 3
T = TypeVar("T")


class Mirror:
    """The folder `root` as the working copy of `store`. What this node has not pushed yet is kept, as long as nobody
    else wrote there: the store is the truth. What is below `apart` has a working copy of its own."""

    def __init__(self, store: ObjectStore, root: Path, apart: str | None = None) -> None:
        self.store, self.root, self._apart = store, root, apart

    def fetch(self) -> None:
        """Bring here what changed there since the last time, and drop what went away there.

        Raises:
            StoreError: the store cannot be read, or what it gives is not what was put there.
        """
        with self._remembering() as memory:
            listed = retried(lambda: list(self.store.list()))
            found = {info.key: info for info in listed if not (_is_hidden(info.key) or self._is_apart(info.key))}
            for key in found:
                _refuse_outside(self.store.uri, key)
            if not found and (memory["files"] or memory["folders"]):
                self._forget(memory)  # the run was taken away there: what is here of it is of no use
            plain = [info for key, info in found.items() if _folder_of(key) is None]
            _each(lambda info: self._fetch_file(info, memory["files"]), plain)
            for key in memory["files"].keys() - found.keys():
                (self.root / key).unlink(missing_ok=True)
                del memory["files"][key]
            names = {key.removesuffix(f"/{WHOLE}") for key in found if key.endswith(f"/{WHOLE}")}
            for name in names | memory["folders"].keys():
                self._fetch_folder(name, found.get(f"{name}/{WHOLE}"), memory["folders"])

    def push(self) -> None:
        """Store the files that changed here since the last time, and drop those that are gone here; checkpoints are no part
        of it.

        Raises:
            Conflict: somebody else wrote one of them meanwhile.
            StoreError: the store cannot be written.
        """
        with self._remembering() as memory:
            keys = self._plain()
            for gone in memory["files"].keys() - set(keys):
                retried(lambda key=gone: self.store.delete(key))  # type: ignore[misc]
                del memory["files"][gone]
            first = [key for key in keys if key != "manifest.json"]
            _each(lambda key: self._push_file(key, memory["files"]), first)
            if len(first) < len(keys):  # it says that the rest is there
                self._push_file("manifest.json", memory["files"])

    def push_folder(self, name: str, source: Path, identity: list[int] | None = None, *, over: bool = False) -> None:
        """Store what is in `source` as the folder `name`, in place of the one before it; `identity` is that of the folder
        here whose files these are. With `over`, also in place of one that somebody else stored meanwhile.

        Raises:
            Conflict: somebody else replaced it meanwhile.
            StoreError: the store cannot be written.
        """
        with self._remembering() as memory:
            token = secrets.token_hex(6)
            files = sorted(path for path in source.rglob("*") if path.is_file())
            entries = {path.relative_to(source).as_posix(): _entry(path) for path in files}
            _each(lambda key: retried(lambda: self.store.put_file(source / key, f"{name}/{token}/{key}")), entries)
            content = json.dumps({"token": token, "files": entries}, indent=2).encode()
            known = self._etag(f"{name}/{WHOLE}") if over else memory["folders"].get(name, {}).get("etag", ABSENT)
            put = retried(lambda: self._put(f"{name}/{WHOLE}", content, known))
            memory["folders"][name] = {"etag": put.etag, "token": token, "local": identity}
            _clean(self.store, name, token)

    def push_all(self) -> None:
        """Store every checkpoint that was replaced here since the last time, drop those that are gone here, and push: last
        checkpoints after the files that they go with.

        Raises:
            Conflict, StoreError: as `push_folder` and `push`.
        """
        found = self._folders()
        for name in found:
            if not name.endswith(LAST):
                self._push_changed(name, found[name])
        self.push()
        for name in found:
            if name.endswith(LAST):
                self._push_changed(name, found[name])
        with self._remembering() as memory:
            for name in memory["folders"].keys() - self._folders().keys():
                drop(self.store, name)
                del memory["folders"][name]

    def is_pushed(self, name: str) -> bool:
        """True where the folder `name` is stored as it is here, or is not here at all."""
        local = self._folders().get(name)
        return local is None or self._memory()["folders"].get(name, {}).get("local") == local

    def _push_changed(self, name: str, local: list[int]) -> None:
        """Store the folder if it is not stored as it is, unless it is replaced or dropped in this moment: the next time."""
        if self.is_pushed(name):
            return
        held = self.root / ".uploads" / secrets.token_hex(4)
        try:
            held_as(self.root / name, held)
            if self._folders().get(name) == local:
                self.push_folder(name, held, local)
        except (FileNotFoundError, shutil.Error):
            return
        finally:
            shutil.rmtree(held, ignore_errors=True)

    def take_over(self) -> None:
        """Write the checkpoints' lists anew, so that one who wrote here before cannot replace what they name."""
        with self._remembering() as memory:
            for name, known in memory["folders"].items():
                key = f"{name}/{WHOLE}"
                content = json.loads(retried(lambda key=key: self.store.get_bytes(key)))  # type: ignore[misc]
                fresh = json.dumps({**content, "writer": secrets.token_hex(6)}, indent=2).encode()
                known["etag"] = self._put(key, fresh, known["etag"]).etag

    @property
    def is_empty(self) -> bool:
        """True where nothing is stored, and nothing is here."""
        stored = any(info.key != LEASE for info in self.store.list())
        return not stored and not self._plain() and not self._folders()

    def set_aside(self, to: ObjectStore) -> None:
        """Move everything to `to`, that which this node did not push yet too; the folder here is then empty."""
        self.push_all()
        keys = [info.key for info in retried(lambda: list(self.store.list())) if info.key != LEASE]
        for key in keys:
            _copy(self.store, key, to, self.root.parent)
        for key in sorted(keys, key=lambda key: not key.endswith(WHOLE)):
            retried(lambda key=key: self.store.delete(key))  # type: ignore[misc]
        with self._remembering() as memory:
            self._forget(memory)

    def _forget(self, memory: dict[str, Any]) -> None:
        """Drop what is here, but for locks."""
        for path in self.root.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name[0] != ".":
                path.unlink(missing_ok=True)
        memory.update({"files": {}, "folders": {}})

    def _etag(self, key: str) -> str:
        try:
            return retried(lambda: self.store.stat(key)).etag
        except NotFound:
            return ABSENT

    def _put(self, key: str, content: bytes, expected: str) -> ObjectInfo:
        """A conditional put that may have been done by an attempt whose answer was lost."""
        try:
            return self.store.put_bytes(key, content, expected)
        except Conflict:
            if self.store.exists(key) and self.store.get_bytes(key) == content:
                return self.store.stat(key)
            raise

    def _fetch_file(self, info: ObjectInfo, known: dict[str, Any]) -> None:
        target = self.root / info.key
        if known.get(info.key, {}).get("etag") == info.etag and target.exists():
            return
        retried(lambda: self.store.get_to_file(info.key, target))
        known[info.key] = {"etag": info.etag, "local": _local(target)}

    def _push_file(self, key: str, known: dict[str, Any]) -> None:
        path = self.root / key
        try:
            before = _local(path)
        except FileNotFoundError:  # it went away while the others were pushed
            return
        if known.get(key, {}).get("local") == before:
            return
        if path.stat().st_size < _SMALL_BYTES:
            etag = self._put_small(key, path.read_bytes(), known.get(key, {}).get("etag", ABSENT))
        else:
            retried(lambda: self.store.put_file(path, key))
            etag = retried(lambda: self.store.stat(key)).etag
        known[key] = {"etag": etag, "local": before}

    def _put_small(self, key: str, content: bytes, etag: str) -> str:
        if key in _ONE_BY_ONE:
            return retried(lambda: self._put(key, content, etag)).etag
        return retried(lambda: self.store.put_bytes(key, content)).etag

    def _fetch_folder(self, name: str, whole: ObjectInfo | None, known: dict[str, Any]) -> None:
        target = self.root / name
        if whole is None:
            if known.pop(name, None):
                shutil.rmtree(target, ignore_errors=True)
            return
        if known.get(name, {}).get("etag") == whole.etag and target.exists():
            return
        for attempt in range(_READS):
            try:
                known[name] = self._read_folder(name, target)
                return
            except NotFound:  # it was replaced while it was read
                if attempt == _READS - 1:
                    raise

    def _read_folder(self, name: str, target: Path) -> dict[str, Any]:
        key = f"{name}/{WHOLE}"
        etag = retried(lambda: self.store.stat(key)).etag
        token, files = _whole(retried(lambda: self.store.get_bytes(key)), f"{self.store.uri}/{key}")
        temporary = target.with_name(f".{target.name}.fetched")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)

        def fetch(item: tuple[str, dict[str, Any]]) -> None:
            _refuse_outside(self.store.uri, item[0])
            place = temporary / item[0]
            source = f"{name}/{token}/{item[0]}"

            def got() -> None:
                self.store.get_to_file(source, place)
                if _entry(place) != item[1]:
                    raise Unavailable(f"{self.store.uri}/{source}: other bytes came than were put there")

            retried(got)

        try:
            _each(fetch, files.items())
            replace_dir(temporary, target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return {"etag": etag, "token": token, "local": identity_of(target)}

    def _is_apart(self, key: str) -> bool:
        return key.split("/", 1)[0] == self._apart

    def _plain(self) -> list[str]:
        """The files but for hidden ones and checkpoints, which may be replaced while this looks."""
        keys = []
        for folder, inner, names in os.walk(self.root):
            here = Path(folder).relative_to(self.root)
            inner[:] = [name for name in self._inside(here, inner) if not _folder_of((here / name).as_posix())]
            keys += [(here / name).as_posix() for name in names if name[0] != "." and not name.endswith(_PASSING)]
        return sorted(keys)

    def _folders(self) -> dict[str, list[int]]:
        """The checkpoints here, each with what changes when it is replaced."""
        found = {}
        for folder, inner, _ in os.walk(self.root):
            here = Path(folder).relative_to(self.root)
            inner[:] = self._inside(here, inner)
            for name in filter(_FOLDER.fullmatch, [(here / name).as_posix() for name in inner]):
                with suppress(FileNotFoundError):
                    found[name] = identity_of(self.root / name)
            inner[:] = [name for name in inner if (here / name).as_posix() not in found]
        return found

    def _inside(self, here: Path, folders: list[str]) -> list[str]:
        """Those of the folders in `here` that belong to the mirror."""
        return [name for name in folders if name[0] != "." and not self._is_apart((here / name).as_posix())]

    def _memory(self) -> dict[str, Any]:
        path = self.root / _MEMORY
        empty: dict[str, Any] = {"files": {}, "folders": {}}
        return json.loads(path.read_bytes()) if path.exists() else empty

    @contextmanager
    def _remembering(self) -> Iterator[dict[str, Any]]:
        """What was the same here and there the last time; one process of this node at a time, written down at the end."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".mirror.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            memory = self._memory()
            try:
                yield memory
            finally:
                write_json(self.root / _MEMORY, memory)


def drop(store: ObjectStore, name: str) -> None:
    """Remove the folder `name` from the store as a whole: first what says that it is there."""
    retried(lambda: store.delete(f"{name}/{WHOLE}"))
    _clean(store, name, "")


def _clean(store: ObjectStore, name: str, token: str) -> None:
    """Remove what earlier and broken pushes of the folder left."""
    found = [info.key for info in retried(lambda: list(store.list(f"{name}/")))]
    old = [key for key in found if not key.startswith(f"{name}/{token}/") and key != f"{name}/{WHOLE}"]
    if old:
        _each(lambda key: retried(lambda: store.delete(key)), old)


def held_as(folder: Path, held: Path) -> None:
    """Have the files of `folder`, as they are now, under another name too: they stay when the folder is replaced."""
    with writing(held):
        shutil.copytree(folder, held, copy_function=_linked)


def identity_of(folder: Path) -> list[int]:
    """Another one after the folder was replaced."""
    status = folder.stat()
    return [status.st_ino, status.st_mtime_ns]


def _linked(source: str, target: str) -> None:
    """A link, or a copy where the file system knows none."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)


def _folder_of(key: str) -> str | None:
    found = _FOLDER.match(key)
    return found.group() if found else None


def _is_hidden(key: str) -> bool:
    """True for the lease, and for what has the names of this node's own notes."""
    return key == LEASE or any(part.startswith(".") and part != ".." for part in key.split("/"))


def _whole(content: bytes, where: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """The token and the files that a WHOLE.json tells of."""
    try:
        listed = json.loads(content)
        return str(listed["token"]), dict(listed["files"])
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise RunError(f"{where} tells of no checkpoint ({type(exc).__name__}); it was damaged or edited") from exc


def _refuse_outside(uri: str, key: str) -> None:
    if key.startswith("/") or ".." in key.split("/") or "\0" in key:
        raise RunError(f"{uri}: found the key {key!r}, which would lie outside the run; remove it there")


def _local(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _entry(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _each(action: Callable[[T], Any], items: Iterable[T]) -> None:
    """Do all, some at a time; the first error ends it."""
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(action, items):
            pass


def _copy(store: ObjectStore, key: str, to: ObjectStore, scratch: Path) -> None:
    part = scratch / f".moved-{secrets.token_hex(4)}"
    try:
        retried(lambda: store.get_to_file(key, part))
        retried(lambda: to.put_file(part, key))
    finally:
        part.unlink(missing_ok=True)
