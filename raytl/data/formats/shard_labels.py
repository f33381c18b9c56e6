"""Determine whether the classes of shards come from label files or from the class folders of the images.

All samples of all shards decide together, not just the first few; an ambiguous layout is an error that names both options.
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
    MAX_CHARS,
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

_ADVICE = "Write the class of each sample into a .cls file, or use a manifest (a table of path and label)."


@dataclass(frozen=True)
class LabeledImage:
    """One image of a shard by its member name, with its label and the split found in names."""

    shard: str
    image: str
    label: str
    split: str | None


@dataclass(frozen=True)
class Reading:
    """The samples of all shards, the keys of unused files, and warnings."""

    samples: tuple[LabeledImage, ...]
    ignored: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def read(uri: str, shards: Sequence[Members]) -> Reading:
    """Return the samples of these shards, labeled by label files or class folders.

    Raises:
        DataError: samples without a label or with several images, label files without classes, or both labels and class
            folders.
    """
    samples = groups(shards)
    if not samples:
        raise DataError(
            f"{uri}: no images found in the shards, only the keys {keys_found(shards) or '(none)'}; "
            f"expected one of {', '.join(sorted(IMAGE_SUFFIXES))} in each sample"
        )
    kind = label_kind(uri, samples)
    if kind is None and not _has_class_folders(samples):
        raise DataError(f"{uri}: {_unlabeled(_names(samples), keys_found(shards))}")
    return _by_folder(shards, samples) if kind is None else _by_label(uri, shards, samples, kind)


def are_class_folders(uri: str, members: Members) -> bool:
    """Return whether an archive with these members has class folders: no labels beside the images, or none that apply.

    Raises:
        DataError: there are both labels and class folders, or label files without classes.
    """
    samples = groups([members])
    if label_kind(uri, samples) is not None:
        return False
    in_folders = any("/" in name for group in samples for name in group.images.values())
    return in_folders or not any(group.labels for group in samples)


def label_kind(uri: str, samples: Sequence[Group]) -> str | None:
    """Return the ending of the label files (.cls, .json or .txt), or None if there are none.

    Raises:
        DataError: see `read`.
    """
    texts = {kind: values for kind in LABELS if (values := _texts(samples, kind))}
    faults = {kind: _label_fault(values) for kind, values in texts.items()}
    good = [kind for kind, fault in faults.items() if not fault]
    candidates = [kind for kind in good if kind != ".txt"] or good  # .txt files may be captions
    kind = max(candidates, key=lambda each: len(texts[each]), default=None)
    if _has_class_folders(samples):
        _check_labels_in_folders(uri, samples, kind)
        return None
    if kind is None and faults:
        lines = [f"the {kind} files beside {len(texts[kind])} images {fault}" for kind, fault in faults.items()]
        raise DataError(
            f"{uri}: no class labels found in the shards:\n{listed(lines)}\n"
            f"Expected labels shared by many images. {_ADVICE}"
        )
    return kind


def _check_labels_in_folders(uri: str, samples: Sequence[Group], kind: str | None) -> None:
    """Raise a DataError if images in class folders have labels of this kind that differ from the folder names."""
    pairs = {(group.folder, label) for group in samples if kind and group.folder and (label := _label(group, kind))}
    if all(folded(folder) == folded(label) for folder, label in pairs):
        return
    by_folder, by_label = ({pair[side] for pair in pairs} for side in (0, 1))
    if kind == ".txt" and (len(pairs) == len(by_folder) == len(by_label) or not _is_whole(samples, kind)):
        return  # one caption per class, or captions beside some images
    raise DataError(
        f"{uri}: the images are in class folders and also have labels in {kind} files, which differ:\n"
        f"{listed([f'{folder!r} has the label {label!r}' for folder, label in sorted(pairs)], 5)}\n"
        f"Expected only one of them. Remove the {kind} files if the folders are the classes; "
        "pack the images without folders if the labels are."
    )


def _has_class_folders(samples: Sequence[Group]) -> bool:
    """Return whether images are in two or more folders that may be classes, that is, shared by several images.

    Images outside all folders are ignored if they have no label.
    """
    folders = [group.folder for group in samples if group.folder]
    if len(set(folders)) < 2 or _label_fault(folders):
        return False
    return not any(any(group.labels.values()) for group in samples if not group.folder)


def _is_whole(samples: Sequence[Group], kind: str) -> bool:
    return all(_label(group, kind) for group in samples if group.folder)


def _of_kind(group: Group, kind: str) -> dict[str, str]:
    return {key: text for key, text in group.labels.items() if f".{key.lower()}".endswith(kind)}


def _label(group: Group, kind: str) -> str:
    """Return the label of the group in its file of this kind; empty if it has none or several."""
    return plain(_of_kind(group, kind)) or ""


def _texts(samples: Sequence[Group], kind: str) -> list[str]:
    return [text for group in samples for text in _of_kind(group, kind).values() if text]


def _label_fault(values: Sequence[str]) -> str:
    """Return why these texts are not class labels; empty if they may be."""
    different = len(set(values))
    if sum(map(_is_boxes, values)) > len(values) / 2:
        return f"contain boxes or other rows of numbers, such as {values[0]!r}"
    if long := [value for value in values if "\n" in value or len(value) > MAX_CHARS]:
        return f"contain longer texts, such as {long[0][:60]!r}"
    if (len(values) >= 8 and different > len(values) / 2) or (len(values) >= 4 and different == len(values)):
        return f"contain {different} different texts for {len(values)} images, such as {values[0]!r} and {values[1]!r}"
    return ""


def _is_boxes(text: str) -> bool:
    """Return whether each line is a class and four or more coordinates, as in YOLO files."""
    rows = [line.split() for line in text.splitlines()]
    return all(
        len(row) >= 5 and all(re.fullmatch(r"-?[0-9]*\.?[0-9]+(e-?[0-9]+)?", cell) for cell in row) for row in rows
    )


def _by_folder(shards: Sequence[Members], samples: Sequence[Group]) -> Reading:
    labeled = [
        LabeledImage(group.shard, image, group.folder, split_of(group.shard, image))
        for group in samples
        if group.folder
        for image in group.images.values()
    ]
    used = {(sample.shard, sample.image) for sample in labeled}
    return Reading(tuple(labeled), _unused(shards, used))


def _by_label(uri: str, shards: Sequence[Members], samples: Sequence[Group], kind: str) -> Reading:
    result = _LabeledByFile(kind)
    for group in samples:
        result.add(group)
    result.check(uri, keys_found(shards))
    return Reading(tuple(result.samples), _unused(shards, result.used), tuple(result.warnings()))


def _unused(shards: Sequence[Members], used: set[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(
        f"{members.shard}/{name}" for members in shards for name in members.names if (members.shard, name) not in used
    )


@dataclass
class _LabeledByFile:
    """The samples labeled by files of one kind, and the problems with the others."""

    kind: str
    samples: list[LabeledImage] = field(default_factory=list)
    used: set[tuple[str, str]] = field(default_factory=set)
    additional: Counter[str] = field(default_factory=Counter)
    unlabeled: list[str] = field(default_factory=list)
    unclear: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, group: Group) -> None:
        """Add a sample with exactly one image and one label, or record its problem."""
        labels, image = _of_kind(group, self.kind), plain(group.images)
        if not any(labels.values()):
            self.unlabeled += [f"{group.shard}: {name!r}" for name in ([image] if image else group.images.values())]
        elif image is None:
            self._record("images", group.images, group)
        elif not (label := _label(group, self.kind)):
            self._record("labels", labels, group)
        else:
            self.samples.append(LabeledImage(group.shard, image, label, split_of(group.shard, image)))
            self.additional.update(f".{key.lower()}" for key, name in group.images.items() if name != image)
            self.used |= {(group.shard, f"{group.stem}.{key}") for key in (*group.images, *labels)}

    def _record(self, what: str, by_key: Mapping[str, str], group: Group) -> None:
        keys = ", ".join(f".{key}" for key in sorted(by_key))
        self.unclear[f"several {what} each ({keys})"].append(f"{group.shard}: {next(iter(group.images.values()))!r}")

    def check(self, uri: str, keys: str) -> None:
        """Raise a DataError that lists all problems, if there are any."""
        parts = [_unlabeled(self.unlabeled, keys)] if self.unlabeled else []
        parts += [
            f"{len(names)} samples have {what}, such as {names[0]}; expected one, or one whose key has no dot "
            "(.jpg beside .seg.png). Repack the shards with only that one."
            for what, names in self.unclear.items()
        ]
        if parts:
            raise DataError(f"{uri}: " + "\n".join(parts))

    def warnings(self) -> list[str]:
        """Return a warning about additional images of samples, which are not used."""
        if not self.additional:
            return []
        keys = ", ".join(f"{key} ({count})" for key, count in self.additional.most_common())
        return [f"{self.additional.total()} additional images in samples skipped, by key: {keys}"]


def _names(samples: Sequence[Group]) -> list[str]:
    return [f"{group.shard}: {name!r}" for group in samples for name in group.images.values()]


def _unlabeled(names: Sequence[str], keys: str) -> str:
    return (
        f"{len(names)} samples of the shards have no label (.cls, .txt, or .json with {', '.join(JSON_KEYS)}):\n"
        f"{listed(list(names))}\nFound the keys {keys}. {_ADVICE}"
    )
