"""Hand large tables of samples to other processes as a memory-mapped Arrow file instead of a copy for each.

The driver writes the file once, below the run's folder or in its own cache and the run's bucket. Workers map the former; of
the latter, the first worker of each node downloads it into the node's cache, and all others map that. The cache is bounded with
pulled data (`raytl.store.pins`).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray

from raytl.data.sample import Cells
from raytl.data.sample_columns import Digests, Paths, StoredTargets, Targets
from raytl.data.sample_table import SampleTable
from raytl.data.targets import Target, target_record
from raytl.data.texts import Coded, Texts
from raytl.disk import writing
from raytl.errors import RunError
from raytl.store.cache import cache_root
from raytl.store.drafts import drafted
from raytl.store.files import atomic_write
from raytl.store.open import open_store
from raytl.store.pins import pin
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.stored import Format
from raytl.stored.bounds import at_most
from raytl.uris import is_remote, local_path

INLINE = 20_000
"""Up to this many samples are sent with the job, in about a hundred bytes each: a file would take longer to open."""
FOLDER = ".samples"
"""Below the run: hidden, so that it is no part of the run."""
_ADVICE = "Start the command again; it writes the file anew."
_MAX_VALUES = 1 << 24
_FEW = 1 << 10
_META = "raytl"


@dataclass(frozen=True, slots=True)
class _Head:
    """The values of coded columns by code; `targets` is null if each target is stored as JSON."""

    format: Literal[1]
    bases: Annotated[tuple[str | None, ...], at_most(_MAX_VALUES, "folders")]
    splits: Annotated[tuple[str | None, ...], at_most(4, "splits")]
    targets: Annotated[tuple[Target, ...], at_most(_MAX_VALUES, "targets")] | None
    columns: Annotated[tuple[Cells, ...], at_most(_MAX_VALUES, "values")] = ()


_HEAD_FORMAT = Format[_Head](_Head, "the head of a file of samples", _ADVICE, RunError, max_bytes=1 << 30)


def shared(samples: SampleTable, location: str, s3: S3Settings = ENVIRONMENT, *, inline: int = INLINE) -> SampleTable:
    """Return the same samples, which other processes will read from a file below `location`, a folder or a bucket.

    Up to `inline` samples are returned unchanged: they are sent with the job.

    Raises:
        StoreError: the bucket cannot be written.
    """
    if len(samples) <= inline:
        return samples
    if not is_remote(location):
        folder = local_path(location).absolute() / FOLDER
        path = _written(samples, folder, lambda name: folder / name)
        return _mapped(path, (path.name, str(folder), s3))
    path = _written(samples, cache_root() / "samples", _pinned)
    store, key = open_store(location, s3), f"{FOLDER}/{path.name}"
    if not retried(lambda: store.exists(key)):
        retried(lambda: store.put_file(path, key))
    return _mapped(path, (path.name, location, s3))


def discard(location: str, s3: S3Settings = ENVIRONMENT) -> None:
    """Remove the files below `location`, once no worker will read them."""
    if not is_remote(location):
        shutil.rmtree(local_path(location) / FOLDER, ignore_errors=True)
        return
    store = open_store(location, s3)
    for info in retried(lambda: list(store.list(f"{FOLDER}/"))):
        retried(lambda key=info.key: store.delete(key))  # type: ignore[misc]


def _opened(name: str, location: str, s3: S3Settings) -> SampleTable:
    """Return the table in the file `name`: below the folder `location`, or in a bucket, fetched once for this node.

    Raises:
        StoreError: it cannot be fetched.
        RunError: it is damaged.
    """
    if not is_remote(location):
        return _mapped(Path(location) / name, (name, location, s3))
    path = _pinned(name)
    if not path.exists():
        with _exclusive(path.parent):
            if not path.exists():
                _fetch(name, path, location, s3)
    return _mapped(path, (name, location, s3))


def _pinned(name: str) -> Path:
    """Return the path of a file in this node's cache, from which it is not evicted until this process ends."""
    place = cache_root() / "samples" / name.partition(".")[0]
    pin(place)
    place.mkdir(exist_ok=True)
    return place / name


def _fetch(name: str, path: Path, location: str, s3: S3Settings) -> None:
    store, key = open_store(location, s3), f"{FOLDER}/{name}"
    with atomic_write(path) as draft:
        size = retried(lambda: store.stat(key)).size
        retried(lambda: store.get_to_file(key, draft, size))
        if _digest(draft) != path.stem:
            raise RunError(f"{location}/{key}: its SHA-256 is not {path.stem}, which its name says. {_ADVICE}")


@contextmanager
def _exclusive(place: Path) -> Iterator[None]:
    """Let one process of the node fetch a file while the others wait."""
    with place.with_name(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _written(samples: SampleTable, folder: Path, path_of: Callable[[str], Path]) -> Path:
    """Write the samples in `folder`, move the file to the path of its name, which is its SHA-256, and return that."""
    import pyarrow as pa

    columns = {name: _to_arrow(column) for name, column in _columns(samples).items()}
    batch = pa.record_batch(
        list(columns.values()), pa.schema([(n, c.type) for n, c in columns.items()], _metadata(samples))
    )
    with drafted(folder / "samples.arrow") as draft:
        with writing(draft), pa.OSFile(str(draft), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
            writer.write_batch(batch)
        path = path_of(f"{_digest(draft)}.arrow")
        draft.replace(path)
    return path


def _metadata(samples: SampleTable) -> dict[str, str]:
    return {_META: json.dumps(_head(samples))}


def _head(samples: SampleTable) -> dict[str, Any]:
    targets, cells = samples.targets, samples.columns
    head = {
        "format": 1,
        "bases": samples.paths.bases.values,
        "splits": samples.splits.values,
        "targets": [target_record(each) for each in targets.values] if _is_coded(targets) else None,
    }
    return head if cells is None else head | {"columns": cells.values}


def _columns(samples: SampleTable) -> dict[str, NDArray[Any] | Texts]:
    targets, digests, rests = samples.targets, samples.digests, samples.paths.rests
    columns: dict[str, NDArray[Any] | Texts] = {
        "key": samples.keys,
        "base": samples.paths.bases.codes,
        "target": targets.codes if _is_coded(targets) else StoredTargets.of(targets).texts,
        "split": samples.splits.codes,
        "digest": digests if isinstance(digests, Texts) else digests.raw,
    }
    if samples.columns is not None:
        columns["columns"] = samples.columns.codes
    return columns if rests is None else {**columns, "rest": rests}


def _is_coded(targets: Targets) -> TypeGuard[Coded[Target]]:
    """Return whether the targets repeat, so that their values fit the head of the file."""
    return isinstance(targets, Coded) and len(targets.values) <= max(_FEW, len(targets) // 4)


def _to_arrow(column: NDArray[Any] | Texts) -> Any:
    import pyarrow as pa

    if isinstance(column, Texts):
        return column.to_arrow()
    if column.ndim == 2:
        raw = pa.py_buffer(np.ascontiguousarray(column))
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(column.shape[1]), len(column), [None, raw])
    return pa.array(column)


def _mapped(path: Path, origin: tuple[str, str, S3Settings]) -> SampleTable:
    """Return the table in the file, whose columns are read from it when they are used."""
    import pyarrow as pa

    batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    head = _HEAD_FORMAT.read(batch.schema.metadata[_META.encode()], str(path))
    columns = {name: _from_arrow(batch.column(name)) for name in batch.schema.names}
    keys, targets, digests = columns["key"], columns["target"], columns["digest"]
    return SampleTable(
        keys,
        Paths(keys, Coded(head.bases, columns["base"]), columns.get("rest")),
        StoredTargets(targets) if head.targets is None else Coded(head.targets, targets),
        Coded(head.splits, columns["split"]),
        digests if isinstance(digests, Texts) else Digests(digests),
        (_opened, origin),
        Coded(head.columns, columns["columns"]) if head.columns else None,
    )


def _from_arrow(column: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_large_binary(column.type):
        _, ends, data = column.buffers()
        return Texts(np.frombuffer(data or b"", np.uint8), np.frombuffer(ends, np.int64)[: len(column) + 1])
    if pa.types.is_fixed_size_binary(column.type):
        return np.frombuffer(column.buffers()[1], np.uint8)[: len(column) * column.type.byte_width].reshape(
            len(column), -1
        )
    return column.to_numpy()
