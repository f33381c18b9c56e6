"""Read the lists of image names by split that Pascal VOC keeps in ImageSets."""

from __future__ import annotations

from pathlib import PurePosixPath

from raytl.data.annotations.dataset_files import DatasetFiles
from raytl.data.formats.split_folders import read_name


def split_lists(files: DatasetFiles, kind: str) -> dict[str, str]:
    """Return the split of each image name (without its suffix) in ImageSets/<kind>; empty if there are no lists.

    `trainval.txt` counts as train where there is neither a train nor a val list; lists of single classes are not read.
    """
    splits: dict[str, str] = {}
    named: dict[str, str] = {}
    for key in files.ending(".txt"):
        path = PurePosixPath(key)
        if path.parent.name == kind and path.parent.parent.name == "ImageSets":
            reading = read_name(path.stem)
            if path.stem.lower() == "trainval":
                named.setdefault("trainval", key)
            elif reading.split and not reading.rest:
                named[reading.split] = key
    if not {"train", "val"} & named.keys() and "trainval" in named:
        named["train"] = named["trainval"]
    named.pop("trainval", None)
    for split in ("train", "val", "test"):
        for line in files.text(named[split]).splitlines() if split in named else ():
            if words := line.split():
                splits.setdefault(words[0], split)
    return splits
