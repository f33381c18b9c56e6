"""Synchronize a working copy on this node with a prefix in a store, so that readers never see a partial checkpoint.

A checkpoint is a folder that is replaced atomically, also in the store: its files are uploaded under a new name
(`checkpoints/best/<token>/...`), then `checkpoints/best/WHOLE.json` is written with that name and their digests. A
checkpoint exists once WHOLE.json lists it, and readers verify the digests.

WHOLE.json contains the generation of its writer's lease (see `raytl.store.fence`). Other files are put unconditionally:
a late write of a process that lost its lease may still overwrite its successor's file.
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
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from raytl.errors import NotFound, RunError, Unavailable
from raytl.run.atomic import replace_dir, write_json
from raytl.run.folder import WARMUP
from raytl.run.links import identity_of, link_tree
from raytl.run.whole import MEMORY_FORMAT, WHOLE_FORMAT, Memory
from raytl.store.contract import ABSENT, ObjectInfo, ObjectStore
from raytl.store.drafts import drafted
from raytl.store.fence import FENCE, generation_of, put_fenced, raise_fence
from raytl.store.lease import KEY as LEASE
from raytl.store.retry import retried
from raytl.stored.files import FileEntry

WHOLE = "WHOLE.json"
BEST, LAST = "checkpoints/best", "checkpoints/last"
_OWN = (BEST, LAST, f"{WARMUP}/{BEST}", f"{WARMUP}/{LAST}")
"""The checkpoints of the owner of the run, which whoever takes over marks; those of other runs below it have their own fence."""
_FOLDER = re.compile(r"(?:.*/)?checkpoints/(?:best|last)(?=/|$)")
"""Folders that are replaced atomically: the checkpoints of a run, and of runs below it."""
_SHARED = {"test_ledger.jsonl"}
"""Files that several machines append to, with conditional writes."""
_TRANSIENT = ("-journal", "-wal", "-shm")
"""SQLite's temporary files beside a database."""
_MEMORY = ".mirror.json"
_RESERVED = {LEASE, FENCE}
"""Objects about writers, which exist only in the store."""
_THREADS = 16
_SMALL_BYTES = 8 << 20
_READS = 3
T = TypeVar("T")


class Mirror:
    """The folder `root` as the working copy of `store`. Unpushed changes are retained unless another process wrote to
    the store, which is authoritative. The subfolder `apart` is excluded, because it has its own working copy. Checkpoints of
    generations below `least` are ignored, as those below the fence are."""

    def __init__(
        self, store: ObjectStore, root: Path, apart: str | None = None, generation: int = 0, least: int = 0
    ) -> None:
        self.store, self.root, self._apart, self.generation, self._least = store, root, apart, generation, least

    def fetch(self) -> None:
        """Download what changed in the store since the last time, and delete what was deleted there.

        Raises:
            StoreError: the store cannot be read, or its content is corrupt.
        """
        with self._locked_memory() as memory:
            listed = retried(lambda: list(self.store.list()))
            remote = {info.key: info for info in listed if not (_is_hidden(info.key) or self._is_apart(info.key))}
            for key in remote:
                _check_mirrored(self.store.uri, key)
            if not remote and (memory["files"] or memory["folders"]):
                self._clear(memory)  # the run was deleted in the store: the working copy is useless
            files = [info for key, info in remote.items() if _folder_of(key) is None]
            _run_all(lambda info: self._fetch_file(info, memory["files"]), files)
            for key in memory["files"].keys() - remote.keys():
                (self.root / key).unlink(missing_ok=True)
                del memory["files"][key]
            names = {key.removesuffix(f"/{WHOLE}") for key in remote if key.endswith(f"/{WHOLE}")}
            fence = self._generation(FENCE) if any(info.key == FENCE for info in listed) else 0
            fence = max(fence, self._least)
            for name in names | memory["folders"].keys():
                self._fetch_folder(name, remote.get(f"{name}/{WHOLE}"), memory["folders"], fence)

    def push(self) -> None:
        """Upload the files that changed since the last time, and delete those that were deleted here; omit checkpoints.

        Raises:
            Conflict: another process wrote one of them meanwhile.
            StoreError: the store cannot be written.
        """
        with self._locked_memory() as memory:
            keys = self._file_keys()
            for gone in memory["files"].keys() - set(keys):
                retried(lambda key=gone: self.store.delete(key))  # type: ignore[misc]
                del memory["files"][gone]
            first = [key for key in keys if key != "manifest.json"]
            _run_all(lambda key: self._push_file(key, memory["files"]), first)
            if len(first) < len(keys):  # it asserts that all other files are stored
                self._push_file("manifest.json", memory["files"])

    def push_folder(
        self, name: str, source: Path, identity: list[int] | None = None, *, overwrite: bool = False
    ) -> None:
        """Upload `source` as the folder `name`, replacing the previous one; `identity` is that of the local folder of these
        files. With `overwrite`, also replace a folder that another process stored meanwhile. A folder of a lower
        generation is always replaced.

        Raises:
            Conflict: another process replaced it meanwhile, or a process of a higher generation ever did.
            StoreError: the store cannot be written.
        """
        with self._locked_memory() as memory:
            token = secrets.token_hex(6)
            files = sorted(path for path in source.rglob("*") if path.is_file())
            entries = {path.relative_to(source).as_posix(): asdict(_entry(path)) for path in files}
            old = _keys(self.store, name)  # before the put, so that files of a successor are not among them
            _run_all(lambda key: retried(lambda: self.store.put_file(source / key, f"{name}/{token}/{key}")), entries)
            whole = {"generation": self.generation, "token": token, "files": entries}
            expected = None if overwrite else memory["folders"].get(name, {}).get("etag", ABSENT)
            put = put_fenced(self.store, f"{name}/{WHOLE}", _json(whole), self.generation, expected)
            memory["folders"][name] = {"etag": put.etag, "token": token, "local": identity}
            _remove(self.store, old)

    def push_all(self) -> None:
        """Upload every checkpoint replaced since the last time, delete those deleted here, and push; upload last checkpoints
        after the files they depend on.

        Raises:
            Conflict, StoreError: as `push_folder` and `push`.
        """
        folders = self._folders()
        for name in folders:
            if not name.endswith(LAST):
                self._push_changed(name, folders[name])
        self.push()
        for name in folders:
            if name.endswith(LAST):
                self._push_changed(name, folders[name])
        with self._locked_memory() as memory:
            for name in memory["folders"].keys() - self._folders().keys():
                drop(self.store, name)
                del memory["folders"][name]

    def is_pushed(self, name: str) -> bool:
        """Return True if the folder `name` is stored in its local state, or does not exist here."""
        local = self._folders().get(name)
        return local is None or self._memory()["folders"].get(name, {}).get("local") == local

    def _push_changed(self, name: str, local: list[int]) -> None:
        """Upload the folder if it changed; if it is replaced or deleted meanwhile, leave it to the next time."""
        if self.is_pushed(name):
            return
        held = self.root / ".uploads" / secrets.token_hex(4)
        try:
            link_tree(self.root / name, held)
            if self._folders().get(name) == local:
                self.push_folder(name, held, local)
        except (FileNotFoundError, shutil.Error):
            return
        finally:
            shutil.rmtree(held, ignore_errors=True)

    def take_over(self) -> None:
        """Rewrite the lists of the checkpoints in this generation, so that earlier writers cannot replace them, and raise the
        fence, so that readers ignore earlier generations.

        Raises:
            Conflict: a process of a later generation took over.
        """
        with self._locked_memory() as memory:
            for name, entry in memory["folders"].items():
                key = f"{name}/{WHOLE}"
                content = retried(lambda key=key: self.store.get_bytes(key))  # type: ignore[misc]
                whole = WHOLE_FORMAT.read(content, f"{self.store.uri}/{key}")
                fresh = replace(whole, generation=self.generation, writer=secrets.token_hex(6))
                put = put_fenced(self.store, key, _json(asdict(fresh)), self.generation, entry["etag"])
                entry["etag"] = put.etag
        raise_fence(self.store, self.generation)

    def highest_generation(self) -> int:
        """Return the highest generation recorded in the store."""
        keys = [info.key for info in retried(lambda: list(self.store.list()))]
        return max((self._generation(key) for key in keys if key == FENCE or key.endswith(f"/{WHOLE}")), default=0)

    @property
    def is_empty(self) -> bool:
        """Return True if both the store and the working copy are empty."""
        stored = any(info.key not in _RESERVED for info in self.store.list())
        return not stored and not self._file_keys() and not self._folders()

    def set_aside(self, to: ObjectStore) -> None:
        """Move everything, including unpushed changes, to `to`, and empty the working copy."""
        self.push_all()
        objects = [info for info in retried(lambda: list(self.store.list())) if info.key not in _RESERVED]
        for info in objects:
            _copy(self.store, info, to, self.root.parent)
        for key in sorted((info.key for info in objects), key=lambda key: not key.endswith(WHOLE)):
            retried(lambda key=key: self.store.delete(key))  # type: ignore[misc]
        raise_fence(self.store, self.generation)
        with self._locked_memory() as memory:
            self._clear(memory)

    def _clear(self, memory: dict[str, Any]) -> None:
        """Delete the working copy except locks."""
        for path in self.root.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name[0] != ".":
                path.unlink(missing_ok=True)
        memory.update({"files": {}, "folders": {}})

    def _generation(self, key: str) -> int:
        try:
            return generation_of(retried(lambda: self.store.get_bytes(key)))
        except NotFound:  # deleted meanwhile
            return 0

    def _fetch_file(self, info: ObjectInfo, synced: dict[str, Any]) -> None:
        target = self.root / info.key
        if synced.get(info.key, {}).get("etag") == info.etag and target.exists():
            return
        retried(lambda: self.store.get_to_file(info.key, target, info.size))
        synced[info.key] = {"etag": info.etag, "local": _local(target)}

    def _push_file(self, key: str, synced: dict[str, Any]) -> None:
        path = self.root / key
        try:
            before = _local(path)
        except FileNotFoundError:  # deleted while other files were pushed
            return
        if synced.get(key, {}).get("local") == before:
            return
        if path.stat().st_size < _SMALL_BYTES:
            etag = self._put_small(key, path.read_bytes(), synced.get(key, {}).get("etag", ABSENT))
        else:
            retried(lambda: self.store.put_file(path, key))
            etag = retried(lambda: self.store.stat(key)).etag
        synced[key] = {"etag": etag, "local": before}

    def _put_small(self, key: str, content: bytes, etag: str) -> str:
        if key in _SHARED:
            return put_fenced(self.store, key, content, 0, etag).etag  # writers without the lease append too
        return retried(lambda: self.store.put_bytes(key, content)).etag

    def _fetch_folder(self, name: str, whole: ObjectInfo | None, synced: dict[str, Any], fence: int) -> None:
        target = self.root / name
        if whole is not None and name in _OWN and fence and self._generation(whole.key) < fence:
            whole = None  # a late write of a process that had lost its lease
        if whole is None:
            if synced.pop(name, None):
                shutil.rmtree(target, ignore_errors=True)
            return
        if synced.get(name, {}).get("etag") == whole.etag and target.exists():
            return
        for attempt in range(_READS):
            try:
                synced[name] = self._read_folder(name, target)
                return
            except NotFound:  # replaced while it was read
                if attempt == _READS - 1:
                    raise

    def _read_folder(self, name: str, target: Path) -> dict[str, Any]:
        key = f"{name}/{WHOLE}"
        etag = retried(lambda: self.store.stat(key)).etag
        whole = WHOLE_FORMAT.read(retried(lambda: self.store.get_bytes(key)), f"{self.store.uri}/{key}")
        token, files = whole.token, whole.files

        def fetch(draft: Path, item: tuple[str, FileEntry]) -> None:
            place = draft / item[0]
            source = f"{name}/{token}/{item[0]}"

            def got() -> None:
                self.store.get_to_file(source, place, item[1].bytes)
                if _entry(place) != item[1]:
                    raise Unavailable(f"{self.store.uri}/{source}: content does not match its digest")

            retried(got)

        with drafted(target, folder=True) as draft:
            _run_all(partial(fetch, draft), files.items())
            replace_dir(draft, target)
        return {"etag": etag, "token": token, "local": identity_of(target)}

    def _is_apart(self, key: str) -> bool:
        return key.split("/", 1)[0] == self._apart

    def _file_keys(self) -> list[str]:
        """Return the keys of all files except hidden ones and checkpoints, which may be replaced meanwhile."""
        keys = []
        for folder, inner, names in os.walk(self.root):
            here = Path(folder).relative_to(self.root)
            inner[:] = [name for name in self._mirrored(here, inner) if not _folder_of((here / name).as_posix())]
            keys += [(here / name).as_posix() for name in names if name[0] != "." and not name.endswith(_TRANSIENT)]
        return sorted(keys)

    def _folders(self) -> dict[str, list[int]]:
        """Return the local checkpoints, each with numbers that change if it is replaced."""
        folders = {}
        for folder, inner, _ in os.walk(self.root):
            here = Path(folder).relative_to(self.root)
            inner[:] = self._mirrored(here, inner)
            for name in filter(_FOLDER.fullmatch, [(here / name).as_posix() for name in inner]):
                with suppress(FileNotFoundError):
                    folders[name] = identity_of(self.root / name)
            inner[:] = [name for name in inner if (here / name).as_posix() not in folders]
        return folders

    def _mirrored(self, here: Path, folders: list[str]) -> list[str]:
        """Return the subfolders of `here` that belong to the mirror."""
        return [name for name in folders if name[0] != "." and not self._is_apart((here / name).as_posix())]

    def _memory(self) -> dict[str, Any]:
        path = self.root / _MEMORY
        return asdict(MEMORY_FORMAT.load(path) if path.exists() else Memory({}, {}))

    @contextmanager
    def _locked_memory(self) -> Iterator[dict[str, Any]]:
        """Yield the record of what was synchronized, locked against other processes of this node, and save it at the end."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".mirror.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            memory = self._memory()
            try:
                yield memory
            finally:
                write_json(self.root / _MEMORY, memory)


def drop(store: ObjectStore, name: str) -> None:
    """Delete the folder `name` from the store atomically: first its list."""
    retried(lambda: store.delete(f"{name}/{WHOLE}"))
    _remove(store, _keys(store, name))


def _keys(store: ObjectStore, name: str) -> list[str]:
    """Return all stored files of the folder, including those of earlier and interrupted pushes."""
    keys = [info.key for info in retried(lambda: list(store.list(f"{name}/")))]
    return [key for key in keys if key != f"{name}/{WHOLE}"]


def _remove(store: ObjectStore, keys: list[str]) -> None:
    if keys:
        _run_all(lambda key: retried(lambda: store.delete(key)), keys)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode()


def _folder_of(key: str) -> str | None:
    match = _FOLDER.match(key)
    return match.group() if match else None


def _is_hidden(key: str) -> bool:
    """Return True for the lease, the fence, and names of files that this node uses internally."""
    return key in _RESERVED or any(part.startswith(".") and part != ".." for part in key.split("/"))


def _check_mirrored(uri: str, key: str) -> None:
    if key.startswith("/") or ".." in key.split("/") or "\0" in key:
        raise RunError(f"{uri}: found the key {key!r}, which would be outside the run; remove it from the store")


def _local(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as file:
        return FileEntry(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _run_all(action: Callable[[T], Any], items: Iterable[T]) -> None:
    """Run `action` on all items in threads; stop at the first error."""
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(action, items):
            pass


def _copy(store: ObjectStore, info: ObjectInfo, to: ObjectStore, scratch: Path) -> None:
    with drafted(scratch / "moved") as draft:
        retried(lambda: store.get_to_file(info.key, draft, info.size))
        retried(lambda: to.put_file(draft, info.key))
