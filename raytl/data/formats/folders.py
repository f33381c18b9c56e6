"""Read class folders: the folder of an image names its class, at the top or under train/, val/ and test/."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from unicodedata import normalize

from raytl.data.decode import IMAGE_SUFFIXES
from raytl.data.formats.key_tree import Folder, tree
from raytl.data.formats.split_folders import holds_classes, read_name, split_folders, wrapped
from raytl.data.manifest import Manifest, Sample, build_manifest, listed
from raytl.errors import DataError
from raytl.uris import is_archive_name

_SAME_FOLDERS = 0.75  # of all pairs of folder and inner name; more is no coincidence: splits, years, renderings


@dataclass
class _Collected:
    """The samples so far and the class folders without images; keys are relative to `top`, `base` is the root."""

    base: str
    top: Folder
    samples: dict[str, Sample] = field(default_factory=dict)
    empty: list[Folder] = field(default_factory=list)

    def take(self, holder: Folder, split: str | None) -> None:
        """Add each folder in `holder` as a class; a dot folder may be empty."""
        for folder in holder.folders.values():
            for key in folder.below():
                inside = key[len(self.top.key) + 1 :] if self.top.key else key
                self.samples[key] = Sample(inside, f"{self.base}/{key}", folder.name, split)
            if not folder.total and not folder.name.startswith(".") and split in (None, "train"):
                self.empty.append(folder)


def scan(keys: Iterable[str], base: str, uri: str) -> Manifest:
    """Return the manifest of the class folders among `keys`, the posix paths of all files below `base`.

    Wrappers (single folders around the class folders or splits) are entered; sample keys start inside.

    Raises:
        DataError: no class folders, an empty one, a single class, split folders mixed with others, or folders that could be
            classes or something else, such as years or renderings.
    """
    root, others = tree(keys)
    top, splits = _enter_wrappers(root, uri)
    collected = _Collected(base.rstrip("/"), top)
    for split, holder in _holders(top, splits):
        _check_repeated(uri, holder, is_split=bool(split))
        collected.take(holder, split)
    loose = [key for key in root.below() if key not in collected.samples] if len(collected.samples) < root.total else []
    _check(collected, uri, others, len(loose))
    return build_manifest(uri, collected.samples.values(), [*others, *loose], _dotted(collected.samples.values()))


def _enter_wrappers(root: Folder, uri: str) -> tuple[Folder, dict[str, Folder]]:
    """Return the folder that contains the class folders or splits, and the splits."""
    while not (splits := split_folders(root, uri)) and (inner := wrapped(root)):
        root = inner
    return root, splits


def _holders(top: Folder, splits: dict[str, Folder]) -> list[tuple[str | None, Folder]]:
    """Return the folder of class folders of each split: in train behind all wrappers, in others where train's classes are."""
    if not splits:
        return [(None, top)]
    train = splits["train"]
    while inner := wrapped(train):
        train = inner
    classes = set(train.folders)
    return [(split, train if split == "train" else _enter_to(folder, classes)) for split, folder in splits.items()]


def _enter_to(folder: Folder, classes: set[str]) -> Folder:
    while (inner := wrapped(folder)) and inner.name not in classes and classes & set(inner.folders):
        folder = inner
    return folder


def _check_repeated(uri: str, holder: Folder, is_split: bool) -> None:
    """Raise a DataError if the class folders may be something else, such as years, with the classes inside them."""
    folders = [_behind_wrappers(folder) for folder in holder.filled]
    _check_copy(uri, holder, folders)
    inside = Counter(_same(each.name) for folder in folders for each in folder.filled)
    if len(folders) < 2 or len(inside) < 2 or all(folder.images for folder in folders):
        return
    if sum(inside.values()) <= _SAME_FOLDERS * len(inside) * len(folders) and not _all_splits(folders):
        return
    names = sorted({each.name for folder in folders for each in folder.filled})
    raise DataError(
        f"{uri}: {len(folders)} folders contain the same image folders, so either level may be the classes:\n"
        f"{listed([repr(folder.name) for folder in holder.filled])}\neach with\n{listed(list(map(repr, names)))}\n"
        f"Expected <class>/<image>. {_choices(uri, holder.filled[0].key, is_split)}"
    )


def _check_copy(uri: str, holder: Folder, folders: list[Folder]) -> None:
    """Raise a DataError if a folder contains folders named like its siblings: a copy of the dataset or of a part."""
    beside = {_same(folder.name) for folder in holder.filled}
    for outer, folder in zip(holder.filled, folders, strict=True):
        inside = {_same(each.name) for each in folder.filled}
        if len(inside) > 1 and inside <= beside - {_same(outer.name)}:
            raise DataError(
                f"{uri}: {folder.key!r} contains folders with the names of its sibling class folders:\n"
                f"{listed([repr(each.name) for each in folder.filled])}\n"
                f"Expected <class>/<image>. If it is a copy, move {outer.key!r} out of the dataset; otherwise move its images up."
            )


def _behind_wrappers(folder: Folder) -> Folder:
    while not folder.images and (inner := wrapped(folder)):
        folder = inner
    return folder


def _same(name: str) -> str:
    return normalize("NFC", name).casefold().strip()


def _all_splits(folders: list[Folder]) -> bool:
    """Return whether each folder contains only splits, as in cat/train, cat/test."""
    readings = [read_name(each.name) for folder in folders for each in folder.filled]
    return all(reading.split and not reading.rest for reading in readings) and all(folder.filled for folder in folders)


def _choices(uri: str, key: str, is_split: bool) -> str:
    names = "If they are splits, name them train, val and test"
    manifest = "a manifest (a table of path, label and split)"
    if is_split:
        return f"Move the others out, or use {manifest}."
    if is_archive_name(uri):
        return f"{names}; otherwise unpack the archive and set data.uri to one of these folders, or use {manifest}."
    return f"{names}; otherwise use one of these folders, such as data.uri: {uri.rstrip('/')}/{key}, or {manifest}."


def _check(collected: _Collected, uri: str, others: list[str], loose: int) -> None:
    if not collected.samples:
        what = f"{loose} images outside any class folder" if loose else "no images"
        raise DataError(f"{uri}: found {what}; expected <class>/<image> or train/<class>/<image>: one folder per class")
    if collected.empty:
        raise DataError(
            f"{uri}: {len(collected.empty)} class folders have no images ({', '.join(sorted(IMAGE_SUFFIXES))}):\n"
            f"{listed([_emptiness(folder, others) for folder in collected.empty])}\n"
            f"Add images, or remove the folder if it is not a class.{_only_filled(collected.top, uri)}"
        )


def _emptiness(folder: Folder, others: list[str]) -> str:
    files = [key for key in others if key.startswith(f"{folder.key}/")]
    what = f"{len(files)} other files, such as {files[0]!r}" if files else "empty"
    return f"{folder.key!r} ({what})"


def _only_filled(top: Folder, uri: str) -> str:
    """Return the data.uri to suggest if a single folder contains all image folders: these may be the classes."""
    if len(top.filled) != 1 or not holds_classes(top.filled[0]) or not top.filled[0].filled:
        return ""
    key = top.filled[0].key
    if is_archive_name(uri):
        return f" If the classes are in {key!r}, unpack the archive and set data.uri to that folder."
    return f" If the classes are in {key!r}, set data.uri: {uri.rstrip('/')}/{key}"


def _dotted(samples: Iterable[Sample]) -> list[str]:
    names = sorted({sample.label for sample in samples if sample.label.startswith(".")})
    if not names:
        return []
    return [f"{len(names)} class folders start with a dot and are used as classes: {', '.join(map(repr, names))}"]
