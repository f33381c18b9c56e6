"""The labelled images of a feedback prefix (`data.feedback`), as samples for training: never for validation or test.

Anybody who can write into the prefix may have written what is there: a photo with other bytes than its name says, or that is no
regular file, is left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from raytl.config.schema import DataConfig
from raytl.data.feedback import KEYS, MAX_PHOTO_BYTES, PHOTOS, is_feedback, photos_in, read_labels
from raytl.data.manifest import Manifest, Sample, build_manifest, listed
from raytl.data.sample_table import SampleTable
from raytl.errors import DataError
from raytl.events import Message, OnEvent, ignore
from raytl.store.contract import ObjectStore
from raytl.store.local import LocalStore
from raytl.store.open import open_store
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.store.sync import pull
from raytl.uris import in_bucket


def with_feedback(
    manifest: Manifest, config: DataConfig, on_event: OnEvent = ignore, s3: S3Settings = ENVIRONMENT
) -> Manifest:
    """Return the manifest with the labelled images of `data.feedback`; the same one without such a prefix.

    Raises:
        DataError: images of the data have another target than a class, or keys that begin with `feedback/`.
    """
    if config.feedback is None:
        return manifest
    if manifest.samples.kinds() - {str}:
        raise DataError(
            f"data.feedback: {config.feedback} has classes of whole images; expected a task with one class an image. Remove it"
        )
    cells = tuple((name, "") for name in config.columns)
    labelled = [replace(sample, columns=cells) for sample in labelled_samples(config.feedback, on_event, s3)]
    if any(is_feedback(key) for key in manifest.samples.keys):
        raise DataError(f"{config.uri}: has a folder {KEYS}, which is reserved for images of data.feedback; rename it")
    if not labelled:
        return manifest
    merged = build_manifest(
        manifest.root, chain(manifest.samples, labelled), manifest.ignored, dict.fromkeys(manifest.warnings)
    )
    return replace(merged, objects=manifest.objects, notes=manifest.notes)


def locate_feedback(
    samples: SampleTable, uri: str, on_event: OnEvent = ignore, s3: S3Settings = ENVIRONMENT
) -> SampleTable:
    """Return labelled images of the prefix `uri` with their paths on this node."""
    if all(Path(path).is_file() for path in samples.paths):
        return samples
    keys = [PHOTOS + key.removeprefix(KEYS) for key in samples.keys]
    places = _on_this_node(open_store(uri, s3), uri, keys, on_event, s3)
    return samples.with_paths(str(places[key]) for key in keys)


def labelled_samples(uri: str, on_event: OnEvent = ignore, s3: S3Settings = ENVIRONMENT) -> Iterator[Sample]:
    """Yield the labelled photos of the prefix at `uri` as samples of the split train, with their files on this node.

    Labels of photos that are missing or have other bytes are named in a warning.
    """
    store = open_store(uri, s3)
    labels, photos = read_labels(store, on_event), photos_in(store)
    if missing := [digest for digest in labels if digest not in photos]:
        on_event(Message(f"{uri}: {len(missing)} labels of photos that are not there are ignored", "warning"))
    keys = {digest: photos[digest] for digest in labels if digest in photos}
    places = _on_this_node(store, uri, sorted(keys.values()), on_event, s3)
    poisoned = []
    for digest, key in sorted(keys.items()):
        if digest_of(places[key]) == digest:
            yield Sample(f"{KEYS}{key.removeprefix(PHOTOS)}", str(places[key]), labels[digest], "train")
        else:
            poisoned.append(key)
    if poisoned:
        on_event(
            Message(
                f"{uri}: {len(poisoned)} photos are ignored, as their content is not that of their names:\n"
                f"{listed(poisoned, 5)}",
                "warning",
            )
        )


def digest_of(path: Path) -> str:
    """Return the sha256 of a regular file in hex; empty for links, other files, and those that cannot be read."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_PHOTO_BYTES:
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _on_this_node(
    store: ObjectStore, uri: str, keys: Sequence[str], on_event: OnEvent, s3: S3Settings
) -> Mapping[str, Path]:
    if isinstance(store, LocalStore):
        return {key: store.root / key for key in keys}
    if not in_bucket(uri):
        raise DataError(f"{uri}: expected feedback in a folder or below an s3:// URI")
    folder = pull(uri, on_event, only=list(keys), s3=s3) if keys else Path()
    return {key: folder / key for key in keys}
