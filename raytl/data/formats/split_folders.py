"""Detect split folders: the name reads as train, val or test, and the content confirms it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from raytl.data.formats.key_tree import Folder
from raytl.data.manifest import listed, split_name
from raytl.errors import DataError

# Words that only describe files: `training_set`, `train_images` and `Train-2024` are all plain names for train.
_PLAIN = "dataset|datasets|data|sets|set|images|image|imgs|img|pictures|picture|pics|photos|photo|samples|splits|split"
_PLAIN_WORD = re.compile(f"({_PLAIN}|folders?|files|dir)*")
_GLUED = re.compile(f"(.+?)({_PLAIN})")
_BETWEEN_WORDS = re.compile(r"[\W\d_]+|(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class Reading:
    """The split that a folder name indicates, if any, and its other words."""

    split: str | None
    rest: frozenset[str]


def read_name(name: str) -> Reading:
    """Read the words of a folder name; one that indicates two splits (`train_val`) indicates none."""
    words = {word.lower() for word in _BETWEEN_WORDS.split(name) if word}
    splits = {word: split for word in words if (split := _split_word(word))}
    rest = frozenset(word for word in words if word not in splits and not _PLAIN_WORD.fullmatch(word))
    indicated = set(splits.values())
    return Reading(indicated.pop(), rest) if len(indicated) == 1 else Reading(None, rest | frozenset(splits))


def _split_word(word: str) -> str | None:
    glued = _GLUED.fullmatch(word)
    return split_name(word) or (split_name(glued[1]) if glued else None)


def wrapped(folder: Folder) -> Folder | None:
    """Return the only folder in `folder` if it contains folders of images: a wrapper, as unpacking an archive creates.

    A few images beside the folders are tolerated, but not more than there are inside.
    """
    visible = [each for each in folder.folders.values() if each.total or not each.name.startswith(".")]
    if len(visible) != 1 or not visible[0].filled:
        return None
    only = visible[0]
    return only if len(folder.images) <= only.total and 2 * len(only.images) <= only.total else None


def holds_classes(folder: Folder) -> bool:
    """Return whether the folders inside are named like classes; `images/` or a repetition of its own name is not."""
    inner = folder
    while len(inner.filled) == 1:
        only = inner.filled[0]
        if only.name != folder.name and read_name(only.name).rest:
            return True
        inner = only
    return bool(inner.filled)


def class_names(folder: Folder) -> set[str]:
    """Return the names of the image folders inside, behind all wrappers."""
    while inner := wrapped(folder):
        folder = inner
    return {each.name for each in folder.filled}


def split_folders(root: Folder, uri: str) -> dict[str, Folder]:
    """Return the folders of `root` by split if its layout is by split, else nothing.

    A *class* may be called train (beside bus and tram): it is a split only if it contains class folders.

    Raises:
        DataError: two folders are the same split, other folders are beside splits, or splits contain no classes.
    """
    named = _named(root)
    others = [folder for folder in root.filled if folder.key not in named]
    labeled = [folder for folder in root.filled if folder.key in named and holds_classes(folder)]
    trains = [folder for folder in labeled if named[folder.key] == "train"]
    if not trains or (others and any(folder.images for folder in trains)):
        if named and not others:
            _reject_without_classes(uri, [folder for folder in root.folders.values() if folder.key in named])
        return {}
    if unknown := [folder for folder in others if len(set(named.values())) == 1 or holds_classes(folder)]:
        _reject_others(uri, [folder.name for folder in root.folders.values() if folder.key in named], unknown)
    return _each_once(uri, labeled, named)


def _named(root: Folder) -> dict[str, str]:
    """Return the split of each folder whose name indicates one, by key.

    A name with other words in it (`seg_train`) counts if another split agrees, or if it is nested
    (`seg_train/seg_train`); `train_car` and `test_tube` are classes.
    """
    readings = {folder.key: read_name(folder.name) for folder in root.folders.values()}
    split = [folder for folder in root.folders.values() if readings[folder.key].split]
    return {
        folder.key: name
        for folder in split
        if (name := readings[folder.key].split)
        and (
            not readings[folder.key].rest
            or (folder.name in folder.folders and holds_classes(folder))
            or any(_agree(folder, other, readings) for other in split)
        )
    }


def _agree(one: Folder, other: Folder, readings: dict[str, Reading]) -> bool:
    """Return whether two folders are two splits of one dataset: their names differ only in the split, or they share classes."""
    a, b = readings[one.key], readings[other.key]
    return a.split != b.split and (a.rest == b.rest or bool(class_names(one) & class_names(other)))


def _each_once(uri: str, labeled: Sequence[Folder], named: dict[str, str]) -> dict[str, Folder]:
    by_split: dict[str, list[Folder]] = defaultdict(list)
    for folder in labeled:
        by_split[named[folder.key]].append(folder)
    for split, folders in by_split.items():
        if len(folders) > 1:
            names = " and ".join(repr(folder.name) for folder in folders)
            raise DataError(
                f"{uri}: the folders {names} are both read as {split}; expected one folder per split. "
                "Merge them, move one out, or use a manifest with a `split` column."
            )
    return {split: folders[0] for split, folders in by_split.items()}


def _reject_without_classes(uri: str, named: Sequence[Folder]) -> None:
    names = ", ".join(f"{folder.name}/" for folder in sorted(named, key=lambda each: each.name))
    raise DataError(
        f"{uri}: found only {names} and no class folders inside train/; "
        "expected train/<class>/<image>, or class folders at the top"
    )


def _reject_others(uri: str, splits: Sequence[str], others: Sequence[Folder]) -> None:
    raise DataError(
        f"{uri}: split folders ({', '.join(splits)}) are mixed with other image folders:\n"
        f"{listed([repr(folder.name) for folder in others])}\n"
        "Expected only train, val and test: move the others out, or into a split."
    )
