"""Represent one image of a dataset as a value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

from raytl.data.targets import Target, target_record
from raytl.stored.bounds import FormerKey, at_most

MAX_COLUMNS, MAX_CELL = 70, 200
"""Limits of `data.columns` and `auxiliary.columns` together, and of the characters of a value."""
Cell = Annotated[str, at_most(MAX_CELL)]
Cells = tuple[tuple[Cell, Cell], ...]
"""The names of columns of a manifest and the values of an image there."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image: `key` is its posix path under the dataset's root, `path` its file on this node or its s3:// URI, `target` what
    its annotation says."""

    key: str
    path: str
    target: Annotated[Target, FormerKey("label")]
    split: str | None = None
    """train, val or test; None if the data does not define it."""
    digest: str = ""
    """The SHA-256 of the file's bytes in hex; empty before the audit."""
    columns: Annotated[Cells, at_most(MAX_COLUMNS, "columns")] = ()
    """Its values in the columns of `data.columns` and `auxiliary.columns`, by name; empty ones too."""

    @property
    def label(self) -> str:
        """The class of the whole image, which every sample of single-label classification has."""
        assert isinstance(self.target, str), f"{self.key} has no class name but {type(self.target).__name__}"
        return self.target

    def record(self) -> dict[str, Any]:
        """Return the sample as a JSON object, for samples.jsonl of a run; a class name has the key `label`.

        `columns` is there only if the sample has any.
        """
        key = "label" if isinstance(self.target, str) else "target"
        target = target_record(self.target)
        plain = {"key": self.key, "path": self.path, key: target, "split": self.split, "digest": self.digest}
        return plain | {"columns": [list(each) for each in self.columns]} if self.columns else plain

    def with_split(self, split: str) -> Sample:
        """Return the sample with this split; the same object if it has it already."""
        return self if self.split == split else replace(self, split=split)

    def with_digest(self, digest: str) -> Sample:
        """Return the sample with the digest of its file's bytes; the same object if it has it already."""
        return self if self.digest == digest else replace(self, digest=digest)
