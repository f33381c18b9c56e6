"""Check where a batch reads and writes: the output is a prefix of its own, and other machines see all that they need. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from raytl.config.machine import Machine
from raytl.errors import ConfigError, UserError
from raytl.home import expanded
from raytl.uris import in_bucket, is_table_name


@dataclass(frozen=True, slots=True)
class PartOptions:
    """The options of predictions in parts: actors, photos per part, and whether to start anew."""

    workers: int | None = None
    part_size: int | None = None
    new: bool = False

    @property
    def given(self) -> list[str]:
        """The options that are not left out, as the command line names them."""
        pairs = (
            ("--workers", self.workers is not None),
            ("--part-size", self.part_size is not None),
            ("--new", self.new),
        )
        return [name for name, is_given in pairs if is_given]


def is_parted(out: str | os.PathLike[str] | None, format: str | None, parts: PartOptions, machine: Machine) -> bool:
    """Return whether predictions are written in parts: to a bucket, to a folder with a slash at its end, or by workers.

    A folder whose `format` is named, such as masks, is one of files.

    Raises:
        UserError: an option needs parts, or cannot take effect with them.
    """
    text = "" if out is None else os.fspath(out)
    is_asked = parts.workers is not None or machine.compute.cluster != Machine().compute.cluster
    is_asked = is_asked or in_bucket(text) or (text.endswith("/") and format in (None, "parquet"))
    if parts.given and not is_asked:
        raise UserError(
            f"{', '.join(parts.given)}: needs an output in parts; expected --workers, or --out with a prefix or folder such as "
            "predictions/"
        )
    if is_asked and format not in (None, "parquet"):
        raise UserError(f"--format: found {format!r}, expected parquet, in which parts are written. Leave it out")
    return is_asked


def output_uri(out: str | os.PathLike[str] | None, inputs: Sequence[str]) -> str:
    """Return the URI or absolute path of an output of parts, without a slash at its end.

    Raises:
        UserError: it is none, or one of the inputs lies in it or it in one of them.
    """
    text = "" if out is None else os.fspath(out)
    if not text.rstrip("/") or text.rstrip("/") == "s3:":
        raise UserError(
            "--out: expected a prefix or a folder for the parts, such as --out s3://bucket/predictions/, as --workers or "
            "compute.cluster asks for parts"
        )
    if is_table_name(text) and not text.endswith("/"):
        raise UserError(
            f"{text}: found the name of a file, expected a prefix or a folder for the parts, such as --out {text.rpartition('.')[0]}/"
        )
    uri = _place(text)
    for each in inputs:
        place = _place(each)
        if _is_within(uri, place) or (_is_within(place, uri) and not is_table_name(place)):
            raise UserError(
                f"--out {text}: it overlaps the input {each}, so that the output would be read as photos; name another prefix"
            )
    return uri


def check_seen_by_all(paths: Iterable[str], machines: int, cluster: str) -> None:
    """Check that a cluster of several machines sees the photos, the model and the output.

    Raises:
        ConfigError: some are on this machine alone.
    """
    own = [path for path in paths if not in_bucket(path) and not path.startswith("models:s3://")]
    if machines > 1 and own:
        raise ConfigError(
            f"compute.cluster: {cluster!r} has {machines} machines, but {own[0]!r} is a path of this one; expected photos, model and "
            "output in a bucket. Upload it, or use compute.cluster=local"
        )


def run_place(run: str) -> str:
    """Return the run as other processes find it: a URI, or an absolute path."""
    return run if in_bucket(run) else str(expanded(run).absolute())


def etag_of(path: str) -> str:
    """Return what changes when a file of this machine does: its size and time; empty if it is missing or in a bucket."""
    if in_bucket(path):
        return ""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _place(text: str) -> str:
    return text.rstrip("/") if in_bucket(text) else str(expanded(text).resolve())


def _is_within(inner: str, outer: str) -> bool:
    return f"{inner}/".startswith(f"{outer.rstrip('/')}/")
