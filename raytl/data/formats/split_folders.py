"""Which folders are splits: a name reads as train, val or test, and what is inside bears it out."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from raytl.data.formats.key_tree import Folder
from raytl.data.manifest import listed, split_name
from raytl.errors import DataError

# Words that name files and nothing else: `training_set`, `train_images` and `Train-2024` are all plain names of train.
_PLAIN = "dataset|datasets|data|sets|set|images|image|imgs|img|pictures|picture|pics|photos|photo|samples|splits|split"
_PLAIN_WORD = re.compile(f"({_PLAIN}|folders?|files|dir)*")
_GLUED = re.compile(f"(.+?)({_PLAIN})")
_BETWEEN_WORDS = re.compile(r"[\W\d_]+|(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class Reading:
    """The split that a folder's name tells, if any, and the words of the name that mean something else."""

    split: str | None
    rest: frozenset[str]


def reading(name: str) -> Reading:
    """Read a folder's name word by word; one that tells two splits (`train_val`) tells none."""
    words = {word.lower() for word in _BETWEEN_WORDS.split(name) if word}
    splits = {word: split for word in words if (split := _split_word(word))}
    rest = frozenset(word for word in words if word not in splits and not _PLAIN_WORD.fullmatch(word))
    told = set(splits.values())
    return Reading(told.pop(), rest) if len(told) == 1 else Reading(None, rest | frozenset(splits))


def _split_word(word: str) -> str | None:
    glued = _GLUED.fullmatch(word)
    return split_name(word) or (split_name(glued[1]) if glued else None)


def wrapped(folder: Folder) -> Folder | None:
    """Return the only folder in `folder` if it holds folders of images: a wrapper, such as unpacking leaves around a set.

    A few images beside the folders are no reason against it; more of them than inside are.
    """
    shown = [each for each in folder.folders.values() if each.total or not each.name.startswith(".")]
    if len(shown) != 1 or not shown[0].filled:
        return None
    only = shown[0]
    return only if len(folder.images) <= only.total and 2 * len(only.images) <= only.total else None


def holds_classes(folder: Folder) -> bool:
    """Return whether the folders inside are named for what is on their images; `images/`, or its own name again, is not."""
    inner = folder
    while len(inner.filled) == 1:
        only = inner.filled[0]
        if only.name != folder.name and reading(only.name).rest:
            return True
        inner = only
    return bool(inner.filled)


def class_names(folder: Folder) -> set[str]:
    """Return the names of the folders of images inside, behind all wrappers."""
    while inner := wrapped(folder):
        folder = inner
    return {each.name for each in folder.filled}


def split_folders(root: Folder, uri: str) -> dict[str, Folder]:
    """Return the folders of `root` by split if it is laid out by split, else nothing.

    A *class* may be called train (beside bus and tram): it is a split only if it holds class folders.

    Raises:
        DataError: two folders are one split, labelled folders lie beside splits, or there are splits and no classes.
    """
    named = _named(root)
    strangers = [folder for folder in root.filled if folder.key not in named]
    labelled = [folder for folder in root.filled if folder.key in named and holds_classes(folder)]
    trains = [folder for folder in labelled if named[folder.key] == "train"]
    if not trains or (strangers and any(folder.images for folder in trains)):
        if named and not strangers:
            _refuse_bare(uri, [folder for folder in root.folders.values() if folder.key in named])
        return {}
    if unknown := [folder for folder in strangers if len(set(named.values())) == 1 or holds_classes(folder)]:
        _refuse_strangers(uri, [folder.name for folder in root.folders.values() if folder.key in named], unknown)
    return _each_once(uri, labelled, named)


def _named(root: Folder) -> dict[str, str]:
    """Return the split of each folder whose name tells it, by key.

    A name with other words in it (`seg_train`) counts if another split agrees, or if it is there twice
    (`seg_train/seg_train`); `train_car` and `test_tube` are classes.
    """
    told = {folder.key: reading(folder.name) for folder in root.folders.values()}
    split = [folder for folder in root.folders.values() if told[folder.key].split]
    return {
        folder.key: name
        for folder in split
        if (name := told[folder.key].split)
        and (
            not told[folder.key].rest
            or (folder.name in folder.folders and holds_classes(folder))
            or any(_agree(folder, other, told) for other in split)
        )
    }


def _agree(one: Folder, other: Folder, told: dict[str, Reading]) -> bool:
    """Return whether two folders are two splits of one set: named alike but for the split, or of the same classes."""
    a, b = told[one.key], told[other.key]
    return a.split != b.split and (a.rest == b.rest or bool(class_names(one) & class_names(other)))


def _each_once(uri: str, labelled: Sequence[Folder], named: dict[str, str]) -> dict[str, Folder]:
    by_split: dict[str, list[Folder]] = defaultdict(list)
    for folder in labelled:
        by_split[named[folder.key]].append(folder)
    for split, folders in by_split.items():
        if len(folders) > 1:
            names = " and ".join(repr(folder.name) for folder in folders)
            raise DataError(
                f"{uri}: the folders {names} are both read as {split}; expected one folder for each split. "
                "Merge them, move one away, or give a manifest with a column `split`."
            )
    return {split: folders[0] for split, folders in by_split.items()}


def _refuse_bare(uri: str, named: Sequence[Folder]) -> None:
    names = ", ".join(f"{folder.name}/" for folder in sorted(named, key=lambda each: each.name))
    raise DataError(
        f"{uri}: found only {names} and no class folders inside train/; "
        "expected train/<class>/<image>, or class folders directly in it"
    )


def _refuse_strangers(uri: str, splits: Sequence[str], strangers: Sequence[Folder]) -> None:
    raise DataError(
        f"{uri}: split folders ({', '.join(splits)}) lie beside other folders of images:\n"
        f"{listed([repr(folder.name) for folder in strangers])}\n"
        "Expected only train, val and test there: move the others away, or into a split."
    )
