"""Implement the WebDataset convention as pure functions: group the names in tar shards into samples of image and label.

The members of a sample share their name up to the first dot (`0001.jpg`, `0001.cls`); the rest is the key of the member.
Unpacked and streamed shards use the same code, so they agree.
Source: github.com/webdataset/webdataset, "The WebDataset format".
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from raytl.data.formats.skip_rules import HIDDEN, SYSTEM, skip_reason
from raytl.data.manifest import split_name
from raytl.data.unicode_names import nfc
from raytl.stored.document import parse
from raytl.stored.fault import Fault

LABELS = (".cls", ".json", ".txt")
JSON_KEYS = ("label", "class", "cls", "class_name")
_MAX_BYTES = 1 << 24
MAX_CHARS = 200
"""Maximum length of a class name; longer texts are captions."""


@dataclass(frozen=True)
class Members:
    """The files of one shard: posix `names` in NFC, and the `texts` from `label_text` by name."""

    shard: str
    names: Sequence[str]
    texts: Mapping[str, str]


@dataclass(frozen=True)
class Group:
    """The members of one sample, `<stem>.<key>`: names of its images and texts of its label files by key.

    `folder` is its class folder, empty for none.
    """

    shard: str
    stem: str
    images: Mapping[str, str]
    labels: Mapping[str, str]
    folder: str = ""


def holds_label(name: str) -> bool:
    """Return whether a file of this name may contain a label."""
    return name.lower().endswith(LABELS) and not is_skipped(name)


def is_skipped(name: str) -> bool:
    """Return whether this is a system file or a hidden file."""
    return skip_reason(name) in (SYSTEM, HIDDEN)


def is_image(name: str) -> bool:
    """Return whether a file of this name is an image that may be a sample."""
    return not skip_reason(name)


def label_text(name: str, file: IO[bytes]) -> str:
    """Return the label text in the file, truncated if it is longer than a class name; empty if it has none."""
    content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        return ""
    is_json = name.lower().endswith(".json")
    text = _json_label(content) if is_json else content.decode("utf-8-sig", "replace")
    return nfc(text.strip())[: MAX_CHARS + 1]


def _json_label(content: bytes) -> str:
    try:
        values = parse(content or b"null")
    except Fault:
        return ""
    label = values if not isinstance(values, dict) else next((values[k] for k in JSON_KEYS if k in values), "")
    return "" if label is None or isinstance(label, dict | list) else str(label)


def split_of(shard: str, image: str = "") -> str | None:
    """Return the split in the name of the shard, else of its nearest folder, else of a folder around the image in it.

    A name with words of several splits (`train-test-split`) indicates none.
    """
    for part in reversed(shard.split("/")):
        splits = {split for word in re.split(r"[^a-zA-Z]+", part) if (split := split_name(word))}
        if len(splits) == 1:
            return splits.pop()
    inside = (split_name(part) for part in reversed(image.split("/")[:-1]))
    return next(filter(None, inside), None)


def groups(shards: Iterable[Members]) -> list[Group]:
    """Return the samples of all shards that have an image, with their class folders if there are any."""
    return [group for members in shards for group in _groups(members)]


def _groups(members: Members) -> Iterator[Group]:
    stems: dict[str, list[str]] = defaultdict(list)
    for name in members.names:
        if is_image(name) or holds_label(name):
            stems[_first_stem(name)].append(name)
    parts = [part for names in stems.values() for part in _parts(names, members.texts)]
    folders = _class_folders([name for _, names in parts for name in names if is_image(name)])
    for stem, names in parts:
        by_key = {name[len(stem) + 1 :]: name for name in names}
        images = {key: name for key, name in by_key.items() if is_image(name)}
        labels = {key: members.texts.get(name, "") for key, name in by_key.items() if holds_label(name)}
        if images:
            yield Group(members.shard, stem, images, labels, folders[next(iter(images.values()))])


def _first_stem(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.split('.', 1)[0]}"


def _parts(names: Sequence[str], texts: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Split names with a common first stem into samples: dotted names (`2024.05.01.jpg`) are several if labels match them."""
    if len(names) == 1:
        yield names[0].rpartition(".")[0], list(names)
        return
    stems = _own_stems(names, texts)
    parts: dict[str, list[str]] = defaultdict(list)
    for name in names:
        parts[next((stem for stem in reversed(_dotted_stems(name)) if stem in stems), _first_stem(name))].append(name)
    yield from parts.items()


def _own_stems(names: Sequence[str], texts: Mapping[str, str]) -> set[str]:
    """Return the stems shared by a label file and an image: of `.cls` files, else of other files with a label."""
    of_images = {stem for name in names if is_image(name) for stem in _dotted_stems(name)}
    for kind in LABELS:
        holders = (name for name in names if name.lower().endswith(kind) and (kind == ".cls" or texts.get(name)))
        ends = [_dotted_stems(name) for name in holders]
        for dropped in (1, 2):  # 0001.cls; 0001.label.cls
            if own := {stems[-dropped] for stems in ends if len(stems) >= dropped} & of_images:
                return own
    return set()


def _dotted_stems(name: str) -> list[str]:
    """Return the name up to each dot of its last part: `d/a`, `d/a.b` of `d/a.b.jpg`."""
    start = name.rfind("/") + 1
    return [name[:at] for at in range(start, len(name)) if name[at] == "."]


def _class_folders(images: Sequence[str]) -> dict[str, str]:
    """Return the class folder of each image, empty for none, inside a folder around all images or split folders."""
    folders = {name: name.split("/")[:-1] for name in images}
    while True:
        tops = {parts[0] for parts in folders.values() if parts}
        if not tops or (len(tops) > 1 and not all(map(split_name, tops))):
            return {name: parts[0] if parts else "" for name, parts in folders.items()}
        folders = {name: parts[1:] for name, parts in folders.items()}


def plain(by_key: Mapping[str, str]) -> str | None:
    """Return the value of the single key without a dot (`jpg` beside `seg.png`), else of the only key; None if ambiguous."""
    simple = [key for key in by_key if "." not in key]
    if len(simple) == 1:
        return by_key[simple[0]]
    return next(iter(by_key.values())) if len(by_key) == 1 else None


def keys_found(shards: Iterable[Members]) -> str:
    """Return the keys of all members with their counts, the most frequent first."""
    names = (PurePosixPath(name).name for members in shards for name in members.names if not is_skipped(name))
    counts = Counter(f".{name.partition('.')[2].lower()}" if "." in name else name for name in names)
    entries = [f"{key} ({count})" for key, count in counts.most_common(10)]
    return ", ".join([*entries, "..."] if len(counts) > 10 else entries)
