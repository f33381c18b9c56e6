"""The places that a bundle comes from: a folder, a run, a bucket, or the version that an alias of a registry names."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from raytl.bundle.card import BUNDLE_FORMAT, read_bundle
from raytl.bundle.client import MODEL_JSON
from raytl.errors import ModelError, NotFound
from raytl.home import expanded
from raytl.registry.bundles import BUNDLES, bundle_uris
from raytl.registry.reference import Reference, is_reference, reference
from raytl.registry.registry import Registry
from raytl.serving.options import ServeOptions
from raytl.store.cache import cache_root
from raytl.store.contract import ObjectStore
from raytl.store.drafts import drafted
from raytl.store.open import open_store
from raytl.store.pins import make_room, pin
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import is_remote, local_path

_DIGITS = 12


class Source(Protocol):
    """The place of a bundle, which may name another one later."""

    @property
    def name(self) -> str:
        """The name of the model for clients."""
        ...

    def version(self) -> str:
        """Return the version to serve now; cheap, as it is asked again and again."""
        ...

    def folder(self, version: str) -> Path:
        """Return the bundle of `version` as a folder on this machine.

        Raises:
            RaytlError: it has no bundle, or it cannot be fetched.
        """
        ...


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A bundle on this machine, which never changes; its version is the digest of its card."""

    path: Path
    name: str

    def version(self) -> str:
        """Return the first digits of the digest of the bundle's card."""
        read_bundle(self.path)
        return _digest((self.path / MODEL_JSON).read_bytes())

    def folder(self, version: str) -> Path:
        """Return the bundle."""
        return self.path


@dataclass(frozen=True, slots=True)
class BucketSource:
    """A bundle in a store, fetched once into the cache of this machine; a new one under the same URI is a new version."""

    uri: str
    name: str
    s3: S3Settings = ENVIRONMENT

    def version(self) -> str:
        """Return the first digits of the digest of the bundle's card."""
        return _digest(card_bytes(open_store(self.uri, self.s3)))

    def folder(self, version: str) -> Path:
        """Return the fetched bundle.

        Raises:
            ModelError: the URI has another bundle by now.
        """
        folder = fetched_bundle(open_store(self.uri, self.s3), self.s3.cache_name(self.uri))
        if (current := _digest((folder / MODEL_JSON).read_bytes())) != version:
            raise ModelError(
                f"{self.uri}: found the bundle {current}; expected {version}, which was replaced meanwhile. Try again"
            )
        return folder


@dataclass(frozen=True, slots=True)
class RegistrySource:
    """The bundle of the version that an alias or a number names."""

    reference: Reference
    bundle: str | None
    name: str
    s3: S3Settings = ENVIRONMENT

    def version(self) -> str:
        """Return the number of the version."""
        registry = Registry.open(self.reference.uri, s3=self.s3)
        return str(registry.resolve(self.reference.which))

    def folder(self, version: str) -> Path:
        """Return the fetched bundle of the version."""
        return bundle_of_version(Registry.open(self.reference.uri, s3=self.s3), int(version), self.bundle, self.s3)


def source_of(options: ServeOptions) -> Source:
    """Return the source that `options.model` names.

    Raises:
        ModelError: there is no bundle, or a run has several.
        RegistryError: it is a malformed reference.
    """
    text = options.model
    if is_reference(text):
        version = reference(text)
        return RegistrySource(version, options.bundle, options.name or _name(version.uri), options.s3)
    if is_remote(text):
        uri = _bundle_uri(text.rstrip("/"), options.bundle, options.s3)
        return BucketSource(uri, options.name or _name(text), options.s3)
    root = expanded(local_path(text))
    path = _bundle_folder(root, options.bundle)
    return FolderSource(path, options.name or _name(str(root.absolute())))


def chosen(names: list[str], wanted: str | None, where: str) -> str:
    """Return the bundle to serve, of those in a run.

    Raises:
        ModelError: there is none, no such one, or several and no choice.
    """
    if not names:
        raise ModelError(f"{where}: no bundle; expected one of `raytl export`. Run `raytl export` on it first")
    if wanted is not None and wanted not in names:
        raise ModelError(f"{where}: no bundle {wanted!r}; expected one of {', '.join(names)}")
    if wanted is None and len(names) > 1:
        raise ModelError(f"{where}: {len(names)} bundles ({', '.join(names)}); choose one with --bundle")
    return wanted or names[0]


def card_bytes(store: ObjectStore) -> bytes:
    """Return the card of the bundle in a store, unread.

    Raises:
        ModelError: there is none.
    """
    try:
        return retried(lambda: store.get_bytes(MODEL_JSON, max_bytes=BUNDLE_FORMAT.max_bytes))
    except NotFound:
        raise ModelError(f"{store.uri}: no {MODEL_JSON}; expected a bundle of `raytl export`") from None


def fetched_bundle(store: ObjectStore, cache_name: str) -> Path:
    """Return the bundle of a store as a folder of the cache. Every file has the size and the digest that the card says."""
    content = card_bytes(store)
    card = BUNDLE_FORMAT.read(content, f"{store.uri}/{MODEL_JSON}")
    name = hashlib.sha256(cache_name.encode() + b"\0" + content).hexdigest()[:24]
    place = cache_root() / "pulled" / f"bundle-{name}"
    pin(place)
    with place.with_name(f".{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_whole(place):
            return place
        make_room(sum(entry.bytes for entry in card.files.values()))
        with drafted(place, folder=True) as draft:
            for file, entry in card.files.items():
                retried(lambda file=file, size=entry.bytes: store.get_to_file(file, draft / file, size))  # type: ignore[misc]
            (draft / MODEL_JSON).write_bytes(content)
            read_bundle(draft)
            shutil.rmtree(place, ignore_errors=True)
            draft.rename(place)
    return place


def bundle_of_version(registry: Registry, number: int, wanted: str | None, s3: S3Settings) -> Path:
    """Return the bundle of a version, of those published with it or added later.

    Raises:
        ModelError: it has none, or several and no choice.
    """
    uris = bundle_uris(registry, registry.record(number))
    uri = uris[chosen(list(uris), wanted, f"{registry.uri}: version {number}")]
    return fetched_bundle(open_store(uri, s3), s3.cache_name(uri))


def _bundle_folder(root: Path, wanted: str | None) -> Path:
    if (root / MODEL_JSON).is_file() and not (root / BUNDLES).is_dir():
        return root
    if not root.is_dir():
        raise ModelError(f"{root}: no such folder; expected a bundle, a run, s3://... or models:...")
    names = sorted(path.parent.name for path in (root / BUNDLES).glob(f"*/{MODEL_JSON}"))
    return root / BUNDLES / chosen(names, wanted, str(root))


def _bundle_uri(uri: str, wanted: str | None, s3: S3Settings) -> str:
    store = open_store(uri, s3)
    listed = [info.key for info in retried(lambda: list(store.list(f"{BUNDLES}/")))]
    names = [key.split("/")[1] for key in listed if key.count("/") == 2 and key.endswith(f"/{MODEL_JSON}")]
    if not names and wanted is None:
        card_bytes(store)
        return uri
    return f"{uri}/{BUNDLES}/{chosen(sorted(names), wanted, uri)}"


def _is_whole(place: Path) -> bool:
    try:
        read_bundle(place)
    except ModelError:
        return False
    return True


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def _name(text: str) -> str:
    """Return a name for clients from the end of a path or URI."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text.rstrip("/").rsplit("/", 1)[-1]).strip("-.")[:100] or "model"
