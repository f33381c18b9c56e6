"""Class folders: the label of an image is the name of the folder it is in, flat or under train/, val/ and test/."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from unicodedata import normalize

from raytl.data.decode import IMAGE_SUFFIXES
from raytl.data.formats.key_tree import Folder, tree
from raytl.data.formats.split_folders import holds_classes, reading, split_folders, wrapped
from raytl.data.manifest import Manifest, Sample, build_manifest, listed
from raytl.errors import DataError
from raytl.uris import is_archive_name

_SAME_FOLDERS = 0.75  # of all pairs of folder and name inside; more is no chance: splits, years, renderings


@dataclass
class _Found:
    """The samples met so far and the class folders without images; `top` is where their keys begin, `base` the root."""

    base: str
    top: Folder
    samples: dict[str, Sample] = field(default_factory=dict)
    empty: list[Folder] = field(default_factory=list)

    def take(self, holder: Folder, split: str | None) -> None:
        """Take each folder in `holder` as a class; one that begins with a dot may well hold no images."""
        for folder in holder.folders.values():
            for key in folder.below():
                inside = key[len(self.top.key) + 1 :] if self.top.key else key
                self.samples[key] = Sample(inside, f"{self.base}/{key}", folder.name, split)
            if not folder.total and not folder.name.startswith(".") and split in (None, "train"):
                self.empty.append(folder)


def scan(keys: Iterable[str], base: str, uri: str) -> Manifest:
    """Return the manifest of the class folders among `keys`, the posix paths of all files below `base`.

    Wrappers, which are single folders around the class folders or the splits, are entered; samples' keys begin there.

    Raises:
        DataError: no class folders, an empty one, one class only, split folders mixed with others, or folders that may be
            classes as well as years, renderings or the like.
    """
    root, others = tree(keys)
    top, splits = _laid_out(root, uri)
    found = _Found(base.rstrip("/"), top)
    for split, holder in _holders(top, splits):
        _refuse_repeated(uri, holder, is_split=bool(split))
        found.take(holder, split)
    loose = [key for key in root.below() if key not in found.samples] if len(found.samples) < root.total else []
    _check(found, uri, others, len(loose))
    return build_manifest(uri, found.samples.values(), [*others, *loose], _dotted(found.samples.values()))


def _laid_out(root: Folder, uri: str) -> tuple[Folder, dict[str, Folder]]:
    """Return the folder in which the class folders or the splits are, and the splits."""
    while not (splits := split_folders(root, uri)) and (inner := wrapped(root)):
        root = inner
    return root, splits


def _holders(top: Folder, splits: dict[str, Folder]) -> list[tuple[str | None, Folder]]:
    """Return each split's folder of class folders: train's behind all wrappers, the others' as far as train's classes are."""
    if not splits:
        return [(None, top)]
    train = splits["train"]
    while inner := wrapped(train):
        train = inner
    classes = set(train.folders)
    return [(split, train if split == "train" else _entered(folder, classes)) for split, folder in splits.items()]


def _entered(folder: Folder, classes: set[str]) -> Folder:
    while (inner := wrapped(folder)) and inner.name not in classes and classes & set(inner.folders):
        folder = inner
    return folder


def _refuse_repeated(uri: str, holder: Folder, is_split: bool) -> None:
    """Raise a DataError where the class folders may be years, renderings or the like, and the classes inside them."""
    folders = [_behind_wrappers(folder) for folder in holder.filled]
    _refuse_copy(uri, holder, folders)
    inside = Counter(_same(each.name) for folder in folders for each in folder.filled)
    if len(folders) < 2 or len(inside) < 2 or all(folder.images for folder in folders):
        return
    if sum(inside.values()) <= _SAME_FOLDERS * len(inside) * len(folders) and not _all_splits(folders):
        return
    names = sorted({each.name for folder in folders for each in folder.filled})
    raise DataError(
        f"{uri}: {len(folders)} folders hold the same folders of images, so either may be the classes:\n"
        f"{listed([repr(folder.name) for folder in holder.filled])}\neach with\n{listed(list(map(repr, names)))}\n"
        f"Expected <class>/<image>. {_choices(uri, holder.filled[0].key, is_split)}"
    )


def _refuse_copy(uri: str, holder: Folder, folders: list[Folder]) -> None:
    """Raise a DataError where one folder holds folders named like those beside it: the set again, or a part of it."""
    beside = {_same(folder.name) for folder in holder.filled}
    for outer, folder in zip(holder.filled, folders, strict=True):
        inside = {_same(each.name) for each in folder.filled}
        if len(inside) > 1 and inside <= beside - {_same(outer.name)}:
            raise DataError(
                f"{uri}: {folder.key!r} holds folders named like the class folders beside it:\n"
                f"{listed([repr(each.name) for each in folder.filled])}\n"
                f"Expected <class>/<image>. If it is a copy of them, move {outer.key!r} away; else move its images up."
            )


def _behind_wrappers(folder: Folder) -> Folder:
    while not folder.images and (inner := wrapped(folder)):
        folder = inner
    return folder


def _same(name: str) -> str:
    return normalize("NFC", name).casefold().strip()


def _all_splits(folders: list[Folder]) -> bool:
    """Return whether each folder holds splits and no other folders, as in cat/train, cat/test."""
    told = [reading(each.name) for folder in folders for each in folder.filled]
    return all(one.split and not one.rest for one in told) and all(folder.filled for folder in folders)


def _choices(uri: str, key: str, is_split: bool) -> str:
    names = "If they are splits, name them train, val and test"
    manifest = "a manifest (a table of path, label and split) that says which is which"
    if is_split:
        return f"Move the others away, or give {manifest}."
    if is_archive_name(uri):
        return f"{names}; else unpack the archive and give one of these folders as data.uri, or {manifest}."
    return f"{names}; else give one of these folders, such as data.uri: {uri.rstrip('/')}/{key}, or {manifest}."


def _check(found: _Found, uri: str, others: list[str], loose: int) -> None:
    if not found.samples:
        what = f"{loose} images that lie in no class folder" if loose else "no images"
        raise DataError(f"{uri}: found {what}; expected <class>/<image> or train/<class>/<image>: one folder a class")
    if found.empty:
        raise DataError(
            f"{uri}: {len(found.empty)} class folders have no images ({', '.join(sorted(IMAGE_SUFFIXES))}):\n"
            f"{listed([_emptiness(folder, found.top, others) for folder in found.empty])}\n"
            f"Add images, or remove the folder if it is no class.{_only_filled(found.top, uri)}"
        )


def _emptiness(folder: Folder, top: Folder, others: list[str]) -> str:
    files = [key for key in others if key.startswith(f"{folder.key}/")]
    what = f"{len(files)} other files, such as {files[0]!r}" if files else "empty"
    return f"{folder.key!r} ({what})"


def _only_filled(top: Folder, uri: str) -> str:
    """Return what to give where one folder holds all images, in folders: it may be the one that holds the classes."""
    if len(top.filled) != 1 or not holds_classes(top.filled[0]) or not top.filled[0].filled:
        return ""
    key = top.filled[0].key
    if is_archive_name(uri):
        return f" If the classes are in {key!r}, unpack the archive and give that folder as data.uri."
    return f" If the classes are in {key!r}, give data.uri: {uri.rstrip('/')}/{key}"


def _dotted(samples: Iterable[Sample]) -> list[str]:
    names = sorted({sample.label for sample in samples if sample.label.startswith(".")})
    if not names:
        return []
    return [f"{len(names)} class folders begin with a dot and are taken as classes: {', '.join(map(repr, names))}"]
