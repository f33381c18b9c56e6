"""Class folders: the label of an image is the name of the folder it is in, flat or under train/, val/ and test/."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from raytl.data.decode import IMAGE_SUFFIXES
from raytl.data.manifest import Manifest, Sample, listed, manifest_of, split_name
from raytl.errors import DataError

# what file managers, archives and notebooks leave behind; a name that begins with a dot is passed over too
_LITTER = frozenset({"__MACOSX", "@eaDir", "__pycache__", "lost+found", "$RECYCLE.BIN", "System Volume Information"})


@dataclass
class _Found:
    """What a walk has met so far; `root` is where keys begin."""

    root: Path
    samples: list[Sample] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)

    def key(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def scan(root: Path, uri: str) -> Manifest:
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


def _split_folders(root: Path, uri: str) -> list[Path]:
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


def _refuse_bare_splits(uri: str, named: list[Path], folders: list[Path]) -> None:
    """Raises a DataError if all folders are called like splits, as those are no class names."""
    if named and named == folders:
        raise DataError(
            f"{uri}: found only {', '.join(f'{path.name}/' for path in named)} and no class folders inside train/; "
            "expected train/<class>/<image>, or class folders directly in it"
        )


def _take_classes(found: _Found, folder: Path, split: str | None) -> None:
    found.ignored += map(found.key, _loose_images(folder))  # a README or LICENSE there is as it should be
    for path in _visible(folder):
        if path.is_dir():
            _take_class(found, path, split)


def _take_class(found: _Found, folder: Path, split: str | None) -> None:
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


def _visible(folder: Path) -> list[Path]:
    """The entries that people see, by name."""
    try:
        entries = list(folder.iterdir())
    except OSError as exc:
        raise DataError(f"{folder}: cannot be listed ({exc.strerror}); make it readable, or move it away") from exc
    return sorted(path for path in entries if not path.name.startswith(".") and path.name not in _LITTER)


def _files(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """All files below, following links to folders but not round in circles."""
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for path in _visible(folder):
        if path.is_dir():
            yield from _files(path, above | {here})
        else:
            yield path


def _holds_classes(folder: Path) -> bool:
    return any(_has_image(path) for path in _visible(folder))


def _loose_images(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()]


def _has_image(path: Path) -> bool:
    return path.is_dir() and any(file.suffix.lower() in IMAGE_SUFFIXES for file in _files(path))
