"""Class folders: the label of an image is the name of the folder it is in, flat or under train/, val/ and test/."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from raytl.data.decode import IMAGE_SUFFIXES
from raytl.data.formats.keys import Listed
from raytl.data.manifest import Manifest, Sample, listed, manifest_of, split_name
from raytl.errors import DataError

# what file managers, archives and notebooks leave behind; a name that begins with a dot is passed over too
_LITTER = frozenset({"__MACOSX", "@eaDir", "__pycache__", "lost+found", "$RECYCLE.BIN", "System Volume Information"})


Entry = Path | Listed
"""A folder or a file, on this node or in a listing."""


@dataclass
class _Found:
    """What a walk has met so far; `root` is where keys begin."""

    root: Entry
    samples: list[Sample] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)

    def key(self, path: Entry) -> str:
        return path.key if isinstance(path, Listed) else path.relative_to(str(self.root)).as_posix()


def scan(root: Entry, uri: str) -> Manifest:
    """The manifest of the class folders in `root`, each searched to any depth; hidden files are passed over.

    Raises:
        DataError: no class folders, an empty one, one class only, or split folders mixed with others.
    """
    found = _Found(root)
    splits = _split_folders(root, uri)
    if splits:
        found.ignored += map(found.key, _loose_images(root))
        for folder in splits:
            _take_classes(found, folder, split_name(folder.name))
    else:
        _take_classes(found, root, None)
    _check(found, uri)
    return manifest_of(uri, found.samples, found.ignored)


def _split_folders(root: Entry, uri: str) -> list[Entry]:
    """The folders train/, val/ ... of `root` if it is laid out by split, else none.

    A *class* may be called train (beside bus and tram): it is a split only if it holds class folders.
    """
    folders = [path for path in _visible(root) if path.is_dir()]
    named = [path for path in folders if split_name(path.name)]
    strangers = [path.name for path in folders if path not in named and _has_image(path)]
    trains = [path for path in named if split_name(path.name) == "train" and _holds_classes(path)]
    if not trains or (strangers and any(_loose_images(path) for path in trains)):
        _refuse_bare_splits(uri, named, folders)
        return []
    if strangers:
        raise DataError(
            f"{uri}: split folders ({', '.join(path.name for path in named)}) lie beside other folders of images:\n"
            f"{listed([repr(name) for name in strangers])}\n"
            "Expected only train, val and test there: move the others away, or into a split."
        )
    return named


def _refuse_bare_splits(uri: str, named: list[Entry], folders: list[Entry]) -> None:
    """Raises a DataError if all folders are called like splits, as those are no class names."""
    if named and named == folders:
        raise DataError(
            f"{uri}: found only {', '.join(f'{path.name}/' for path in named)} and no class folders inside train/; "
            "expected train/<class>/<image>, or class folders directly in it"
        )


def _take_classes(found: _Found, folder: Entry, split: str | None) -> None:
    found.ignored += map(found.key, _loose_images(folder))  # a README or LICENSE there is as it should be
    for path in _visible(folder):
        if path.is_dir():
            _take_class(found, path, split)


def _take_class(found: _Found, folder: Entry, split: str | None) -> None:
    files = list(_files(folder))
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    others = [found.key(path) for path in files if path.suffix.lower() not in IMAGE_SUFFIXES]
    found.ignored += others
    found.samples += [Sample(found.key(path), str(path), folder.name, split) for path in images]
    if not images and split in (None, "train"):
        what = f"{len(others)} other files, such as {others[0]!r}" if others else "empty"
        found.empty.append(f"{found.key(folder)!r} ({what})")


def _check(found: _Found, uri: str) -> None:
    if not found.samples:
        loose = sum(Path(key).suffix.lower() in IMAGE_SUFFIXES for key in found.ignored)
        what = f"{loose} images that lie in no class folder" if loose else "no images"
        raise DataError(f"{uri}: found {what}; expected <class>/<image> or train/<class>/<image>: one folder a class")
    if found.empty:
        raise DataError(
            f"{uri}: {len(found.empty)} class folders have no images ({', '.join(sorted(IMAGE_SUFFIXES))}):\n"
            f"{listed(found.empty)}\nAdd images, or remove the folder if it is no class."
        )


def _visible(folder: Entry) -> list[Entry]:
    """The entries that people see, by name."""
    try:
        entries: list[Entry] = list(folder.iterdir())
    except OSError as exc:
        raise DataError(f"{folder}: cannot be listed ({exc.strerror}); make it readable, or move it away") from exc
    seen = (path for path in entries if not path.name.startswith(".") and path.name not in _LITTER)
    return sorted(seen, key=lambda path: path.name)


def _files(folder: Entry, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Entry]:
    """All files below, following links to folders but not round in circles."""
    status = None if isinstance(folder, Listed) else folder.stat()
    here = {(status.st_dev, status.st_ino)} if status else frozenset()
    if here & above:
        return
    for path in _visible(folder):
        if path.is_dir():
            yield from _files(path, above | here)
        else:
            yield path


def _holds_classes(folder: Entry) -> bool:
    return any(_has_image(path) for path in _visible(folder))


def _loose_images(folder: Entry) -> list[Entry]:
    return [path for path in _visible(folder) if path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()]


def _has_image(path: Entry) -> bool:
    return path.is_dir() and any(file.suffix.lower() in IMAGE_SUFFIXES for file in _files(path))
