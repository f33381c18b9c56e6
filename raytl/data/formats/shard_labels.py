"""Decide what the classes of shards are: the texts of label files, or the class folders that the images lie in.

All samples of all shards decide together, never the first few, and what may be either is an error that names both.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raytl.data.decode import IMAGE_SUFFIXES
from raytl.data.formats.webdataset import (
    JSON_KEYS,
    LABELS,
    MOST_CHARS,
    Group,
    Members,
    groups,
    keys_found,
    plain,
    split_of,
)
from raytl.data.manifest import listed
from raytl.data.unicode_names import folded
from raytl.errors import DataError

_ADVICE = "Write each sample's class into a .cls file, or give a manifest (a table of path and label)."


@dataclass(frozen=True)
class Labelled:
    """One image of a shard, by its member's name there, with its label and the split that names tell."""

    shard: str
    image: str
    label: str
    split: str | None


@dataclass(frozen=True)
class Reading:
    """The samples of all shards, the keys of the files that are not used, and what people should know."""

    samples: tuple[Labelled, ...]
    ignored: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def read(uri: str, shards: Sequence[Members]) -> Reading:
    """Return the samples of these shards, labelled by label files or class folders.

    Raises:
        DataError: samples without a label or with several images, label files that hold no classes, or labels and class
            folders at once.
    """
    found = groups(shards)
    if not found:
        raise DataError(
            f"{uri}: no images found in the shards, which hold the keys {keys_found(shards) or '(none)'}; "
            f"expected one of {', '.join(sorted(IMAGE_SUFFIXES))} in each sample"
        )
    kind = label_kind(uri, found)
    if kind is None and not _has_class_folders(found):
        raise DataError(f"{uri}: {_unlabelled(_names(found), keys_found(shards))}")
    return _by_folder(shards, found) if kind is None else _by_label(uri, shards, found, kind)


def are_class_folders(uri: str, members: Members) -> bool:
    """Return whether an archive with these members is one of class folders: no label beside the images, or none that counts.

    Raises:
        DataError: there are labels and class folders at once, or label files that hold no classes.
    """
    found = groups([members])
    if label_kind(uri, found) is not None:
        return False
    in_folders = any("/" in name for group in found for name in group.images.values())
    return in_folders or not any(group.labels for group in found)


def label_kind(uri: str, found: Sequence[Group]) -> str | None:
    """Return the ending of the files that hold the labels (.cls, .json or .txt); None where no file does.

    Raises:
        DataError: see `read`.
    """
    texts = {kind: values for kind in LABELS if (values := _texts(found, kind))}
    faults = {kind: _label_fault(values) for kind, values in texts.items()}
    good = [kind for kind, fault in faults.items() if not fault]
    meant = [kind for kind in good if kind != ".txt"] or good  # texts may be captions
    kind = max(meant, key=lambda each: len(texts[each]), default=None)
    if _has_class_folders(found):
        _refuse_labels_in_folders(uri, found, kind)
        return None
    if kind is None and faults:
        lines = [f"the {kind} files beside {len(texts[kind])} images {fault}" for kind, fault in faults.items()]
        raise DataError(
            f"{uri}: found no class labels in the shards:\n{listed(lines)}\n"
            f"Expected labels that many images share. {_ADVICE}"
        )
    return kind


def _refuse_labels_in_folders(uri: str, found: Sequence[Group], kind: str | None) -> None:
    """Raise a DataError where images in class folders have labels of this kind that say something else."""
    pairs = {(group.folder, label) for group in found if kind and group.folder and (label := _label(group, kind))}
    if all(folded(folder) == folded(label) for folder, label in pairs):
        return
    by_folder, by_label = ({pair[side] for pair in pairs} for side in (0, 1))
    if kind == ".txt" and (len(pairs) == len(by_folder) == len(by_label) or not _is_whole(found, kind)):
        return  # one caption a class, or captions beside some images
    raise DataError(
        f"{uri}: the images lie in class folders and have labels in {kind} files, and these differ:\n"
        f"{listed([f'{folder!r} has the label {label!r}' for folder, label in sorted(pairs)], 5)}\n"
        f"Expected one of both. Remove the {kind} files if the folders are the classes; "
        "pack the images without folders if the labels are."
    )


def _has_class_folders(found: Sequence[Group]) -> bool:
    """Return whether images lie in two or more folders that may be classes: nearly each image in its own are none.

    Images in no folder are strays if they have no label.
    """
    folders = [group.folder for group in found if group.folder]
    if len(set(folders)) < 2 or _label_fault(folders):
        return False
    return not any(any(group.labels.values()) for group in found if not group.folder)


def _is_whole(found: Sequence[Group], kind: str) -> bool:
    return all(_label(group, kind) for group in found if group.folder)


def _of_kind(group: Group, kind: str) -> dict[str, str]:
    return {key: text for key, text in group.labels.items() if f".{key.lower()}".endswith(kind)}


def _label(group: Group, kind: str) -> str:
    """Return the group's label by its file of this kind; empty where it has none, or several."""
    return plain(_of_kind(group, kind)) or ""


def _texts(found: Sequence[Group], kind: str) -> list[str]:
    return [text for group in found for text in _of_kind(group, kind).values() if text]


def _label_fault(values: Sequence[str]) -> str:
    """Return why these texts are no class labels; empty if they may be."""
    different = len(set(values))
    if sum(map(_is_boxes, values)) > len(values) / 2:
        return f"hold boxes or other rows of numbers, such as {values[0]!r}"
    if long := [value for value in values if "\n" in value or len(value) > MOST_CHARS]:
        return f"hold longer texts, such as {long[0][:60]!r}"
    if (len(values) >= 8 and different > len(values) / 2) or (len(values) >= 4 and different == len(values)):
        return f"hold {different} different texts for {len(values)} images, such as {values[0]!r} and {values[1]!r}"
    return ""


def _is_boxes(text: str) -> bool:
    """Return whether each line is a class and four or more coordinates, as YOLO writes them."""
    rows = [line.split() for line in text.splitlines()]
    return all(
        len(row) >= 5 and all(re.fullmatch(r"-?[0-9]*\.?[0-9]+(e-?[0-9]+)?", cell) for cell in row) for row in rows
    )


def _by_folder(shards: Sequence[Members], found: Sequence[Group]) -> Reading:
    samples = [
        Labelled(group.shard, image, group.folder, split_of(group.shard, image))
        for group in found
        if group.folder
        for image in group.images.values()
    ]
    used = {(sample.shard, sample.image) for sample in samples}
    return Reading(tuple(samples), _unused(shards, used))


def _by_label(uri: str, shards: Sequence[Members], found: Sequence[Group], kind: str) -> Reading:
    taken = _Taken(kind)
    for group in found:
        taken.take(group)
    taken.check(uri, keys_found(shards))
    return Reading(tuple(taken.samples), _unused(shards, taken.used), tuple(taken.notes()))


def _unused(shards: Sequence[Members], used: set[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(
        f"{members.shard}/{name}" for members in shards for name in members.names if (members.shard, name) not in used
    )


@dataclass
class _Taken:
    """The samples that label files of one kind give, and what is wrong with the others."""

    kind: str
    samples: list[Labelled] = field(default_factory=list)
    used: set[tuple[str, str]] = field(default_factory=set)
    besides: Counter[str] = field(default_factory=Counter)
    unlabelled: list[str] = field(default_factory=list)
    unclear: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def take(self, group: Group) -> None:
        """Take the one image and the one label of a sample."""
        labels, image = _of_kind(group, self.kind), plain(group.images)
        if not any(labels.values()):
            self.unlabelled += [f"{group.shard}: {name!r}" for name in ([image] if image else group.images.values())]
        elif image is None:
            self._note("images", group.images, group)
        elif not (label := _label(group, self.kind)):
            self._note("labels", labels, group)
        else:
            self.samples.append(Labelled(group.shard, image, label, split_of(group.shard, image)))
            self.besides.update(f".{key.lower()}" for key, name in group.images.items() if name != image)
            self.used |= {(group.shard, f"{group.stem}.{key}") for key in (*group.images, *labels)}

    def _note(self, what: str, by_key: Mapping[str, str], group: Group) -> None:
        keys = ", ".join(f".{key}" for key in sorted(by_key))
        self.unclear[f"several {what} each ({keys})"].append(f"{group.shard}: {next(iter(group.images.values()))!r}")

    def check(self, uri: str, found: str) -> None:
        """Raise a DataError that lists every problem met."""
        parts = [_unlabelled(self.unlabelled, found)] if self.unlabelled else []
        parts += [
            f"{len(names)} samples have {what}, such as {names[0]}; expected one, or one with a key without a dot "
            "(.jpg beside .seg.png). Pack the shards again with that one."
            for what, names in self.unclear.items()
        ]
        if parts:
            raise DataError(f"{uri}: " + "\n".join(parts))

    def notes(self) -> list[str]:
        """Return a line on the images that lie beside the one that is used."""
        if not self.besides:
            return []
        keys = ", ".join(f"{key} ({count})" for key, count in self.besides.most_common())
        return [f"{self.besides.total()} images beside the image of their sample left out, by key: {keys}"]


def _names(found: Sequence[Group]) -> list[str]:
    return [f"{group.shard}: {name!r}" for group in found for name in group.images.values()]


def _unlabelled(names: Sequence[str], found: str) -> str:
    return (
        f"{len(names)} samples of the shards have no label (.cls, .txt, or .json with {', '.join(JSON_KEYS)}):\n"
        f"{listed(list(names))}\nFound the keys {found}. {_ADVICE}"
    )
