"""The WebDataset convention as pure functions: from the names in tar shards to samples of one image and one label each.

The members of a sample share their name up to its first dot (`0001.jpg`, `0001.cls`). What follows the dot is the member's
key. Unpacked and streamed shards are both read by `read`, so they agree.
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
_MOST_BYTES = 1 << 24
MOST_CHARS = 200
"""Of a class name; longer texts are captions."""


@dataclass(frozen=True)
class Members:
    """The files of one shard: posix `names` in NFC, and by name the `texts` that `label_text` finds in them."""

    shard: str
    names: Sequence[str]
    texts: Mapping[str, str]


@dataclass(frozen=True)
class Group:
    """The members of one sample, `<stem>.<key>`: names of its images and texts of its label files by key.

    `folder` is the class folder that it lies in, empty for none.
    """

    shard: str
    stem: str
    images: Mapping[str, str]
    labels: Mapping[str, str]
    folder: str = ""


def holds_label(name: str) -> bool:
    """Return whether the file of this name may hold a label."""
    return name.lower().endswith(LABELS) and not is_skipped(name)


def is_skipped(name: str) -> bool:
    """Return whether a tool left this file, or hid it."""
    return skip_reason(name) in (SYSTEM, HIDDEN)


def is_image(name: str) -> bool:
    """Return whether the file of this name is an image that may be a sample."""
    return not skip_reason(name)


def label_text(name: str, file: IO[bytes]) -> str:
    """Return the text that the file offers as a label, cut where it is longer than a class name; empty if it has none."""
    content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        return ""
    is_json = name.lower().endswith(".json")
    text = _json_label(content) if is_json else content.decode("utf-8-sig", "replace")
    return nfc(text.strip())[: MOST_CHARS + 1]


def _json_label(content: bytes) -> str:
    try:
        values = parse(content or b"null")
    except Fault:
        return ""
    named = values if not isinstance(values, dict) else next((values[k] for k in JSON_KEYS if k in values), "")
    return "" if named is None or isinstance(named, dict | list) else str(named)


def split_of(shard: str, image: str = "") -> str | None:
    """Return the split that the shard's own name tells, else its nearest folder, else a folder around the image in it.

    A name that holds words of several splits (`train-test-split`) tells none.
    """
    for part in reversed(shard.split("/")):
        told = {split for word in re.split(r"[^a-zA-Z]+", part) if (split := split_name(word))}
        if len(told) == 1:
            return told.pop()
    inside = (split_name(part) for part in reversed(image.split("/")[:-1]))
    return next(filter(None, inside), None)


def groups(shards: Iterable[Members]) -> list[Group]:
    """Return the samples of all shards that have an image, with class folders where the images lie in such."""
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
    """Divide names of one first stem into samples: dotted names (`2024.05.01.jpg`) are several where labels pair with them."""
    if len(names) == 1:
        yield names[0].rpartition(".")[0], list(names)
        return
    stems = _own_stems(names, texts)
    parts: dict[str, list[str]] = defaultdict(list)
    for name in names:
        parts[next((stem for stem in reversed(_dotted_stems(name)) if stem in stems), _first_stem(name))].append(name)
    yield from parts.items()


def _own_stems(names: Sequence[str], texts: Mapping[str, str]) -> set[str]:
    """Return the stems that a label file and an image share: of `.cls` files, else of others that hold a label."""
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
    """Return the class folder of each image, empty for those in none: behind a single folder around all, or splits."""
    folders = {name: name.split("/")[:-1] for name in images}
    while True:
        tops = {parts[0] for parts in folders.values() if parts}
        if not tops or (len(tops) > 1 and not all(map(split_name, tops))):
            return {name: parts[0] if parts else "" for name, parts in folders.items()}
        folders = {name: parts[1:] for name, parts in folders.items()}


def plain(by_key: Mapping[str, str]) -> str | None:
    """Return the value of the one key without a dot (`jpg` beside `seg.png`), else of the only key; None if unclear."""
    simple = [key for key in by_key if "." not in key]
    if len(simple) == 1:
        return by_key[simple[0]]
    return next(iter(by_key.values())) if len(by_key) == 1 else None


def keys_found(shards: Iterable[Members]) -> str:
    """Return the keys of all members with how often each is there, the most frequent first."""
    names = (PurePosixPath(name).name for members in shards for name in members.names if not is_skipped(name))
    counts = Counter(f".{name.partition('.')[2].lower()}" if "." in name else name for name in names)
    shown = [f"{key} ({count})" for key, count in counts.most_common(10)]
    return ", ".join([*shown, "..."] if len(counts) > 10 else shown)
