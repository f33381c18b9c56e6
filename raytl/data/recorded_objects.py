"""Download the objects of samples that another node pulled and recorded, without listing their buckets.

A pulled file is in `pulled/<name of the URI>/files/<key>` on every node, and its sample has the SHA-256 of its bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import numpy as np

from raytl.data.sample_columns import Digests, StoredTargets
from raytl.data.sample_table import SampleTable
from raytl.data.targets import Mask
from raytl.data.texts import Texts
from raytl.errors import NotFound
from raytl.events import OnEvent, ignore
from raytl.store.contract import UNKNOWN, ObjectInfo
from raytl.store.pins import evict
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.store.sync import fetch, fetched_folder, pulled_name
from raytl.uris import in_bucket, is_archive_name, is_table_name

_PULLED = re.compile(r".*/pulled/([0-9a-f]{24})/files/", re.DOTALL)


def fetched(
    samples: SampleTable,
    uri: str,
    name: str,
    on_event: OnEvent = ignore,
    s3: S3Settings = ENVIRONMENT,
    limit_bytes: int | None = None,
) -> SampleTable | None:
    """Return `samples`, whose identity is `name`, with their paths on this node, after downloading their objects; of all data on this
    node, up to `limit_bytes` stay.

    Return None if a listing is needed: for samples without a SHA-256, masks, archives, files that were not pulled or that are here
    already, and objects that were removed or replaced since.

    Raises:
        StoreError: a bucket cannot be read.
    """
    if is_archive_name(uri) or Mask in samples.kinds() or not _have_digests(samples):
        return None
    roots, names = {pulled_name(root, s3): root for root in _roots(samples, uri)}, _names(samples)
    if not names <= roots.keys():
        return None
    folders = {each: fetched_folder(roots[each], name, s3) for each in names}
    if not all(folders.values()):
        try:
            folders = {each: fetch(roots[each], infos, name, on_event, s3) for each, infos in _wanted(samples).items()}
        except NotFound:
            return None
        if limit_bytes is not None:
            evict(limit_bytes)
    here = {each: f"{folder}/" for each, folder in folders.items() if folder is not None}
    return _moved(samples, here) if len(here) == len(names) else None


def identity(samples: SampleTable) -> str:
    """Return a name of these keys with these digests, and of their masks."""
    digests, targets = samples.digests, samples.targets
    texts = [samples.keys, *([digests] if isinstance(digests, Texts) else [])]
    columns = [digests.raw] if isinstance(digests, Digests) else []
    if isinstance(targets, StoredTargets):
        texts.append(targets.texts)
    elif any(isinstance(target, Mask) for target in targets.values):
        texts.append(Texts.of(target.digest if isinstance(target, Mask) else "" for target in targets.values))
        columns.append(targets.codes)
    digest = hashlib.sha256()
    for column in (*(part for text in texts for part in (text.ends, text.data)), *columns):
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()[:24]


def _have_digests(samples: SampleTable) -> bool:
    return isinstance(samples.digests, Digests) and bool(samples.digests.raw.any(axis=1).all())


def _roots(samples: SampleTable, uri: str) -> set[str]:
    """Return the URIs that may have been pulled: the prefix, or the folder of a manifest and the buckets that it names."""
    if not is_table_name(uri):
        return {uri} if in_bucket(uri) else set()
    folder = {uri.rstrip("/").rpartition("/")[0]} if in_bucket(uri) else set()
    return folder | {f"s3://{bucket}" for bucket in {key.partition("/")[0] for key in samples.keys} if bucket}


def _names(samples: SampleTable) -> set[str]:
    """Return the names of the pulled folders that the samples are in; an empty one for other files."""
    some = samples[:1] if samples.paths.has_one_base else samples
    return {name for name, _ in _pulled_keys(some)}


def _wanted(samples: SampleTable) -> dict[str, list[ObjectInfo]]:
    """Return the objects by the name of the folder that they were pulled to."""
    wanted: dict[str, list[ObjectInfo]] = {}
    for (name, key), digest in zip(_pulled_keys(samples), samples.digests, strict=True):
        wanted.setdefault(name, []).append(ObjectInfo(key, UNKNOWN, "", sha256=digest))
    return wanted


def _pulled_keys(samples: SampleTable) -> Iterator[tuple[str, str]]:
    """Yield the name of the pulled folder and the key in it of each sample; an empty name for other files."""
    for path in samples.paths:
        match = _PULLED.match(path)
        yield (match[1], path[match.end() :]) if match else ("", "")


def _moved(samples: SampleTable, folders: dict[str, str]) -> SampleTable:
    """Return the samples with the paths below these folders, by the name of what was pulled."""
    match = _PULLED.match(samples.paths[0])
    if (
        match
        and len(folders) == 1
        and samples.paths.has_one_base
        and samples.paths[0][match.end() :] == samples.keys[0]
    ):
        return samples.with_base(folders[match[1]])
    return samples.with_paths(folders[name] + key for name, key in _pulled_keys(samples))
