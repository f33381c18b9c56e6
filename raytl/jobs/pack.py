"""What travels to the cluster with a job: the resolved experiment, and this raytl where the cluster has none. Never data."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raytl.config.dump import to_yaml
from raytl.config.schema import Experiment
from raytl.errors import ConfigError
from raytl.uris import has_scheme, is_table_name

EXPERIMENT = "experiment.yaml"
MOST_BYTES = 50 * 2**20
"""Half of what Ray's job server takes in one request."""
_LISTED = 5
_THEN = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip knows: the same files give the same bytes


@dataclass(frozen=True)
class Pack:
    """Files by their name in the job's folder, as one zip; `digest` names its content."""

    sizes: Mapping[str, int]
    content: bytes
    digest: str

    @property
    def largest(self) -> list[tuple[str, int]]:
        """The largest files, with their sizes in bytes."""
        return sorted(self.sizes.items(), key=lambda item: (-item[1], item[0]))[:_LISTED]


def pack(experiment: Experiment, code: Path | None) -> tuple[Pack, Experiment]:
    """What the job needs beside the image of the cluster, and the experiment as it will be read there.

    `code` is the folder of the raytl package, where it is to travel too. A manifest on this machine goes along.

    Raises:
        ConfigError: images, weights or runs would be on this machine only; or it is too large.
    """
    refuse_local(experiment)
    files: dict[str, bytes] = {}
    table = Path(experiment.data.uri).expanduser()
    if _is_table(experiment.data.uri) and (rows := _table_files(table)):
        files |= rows
        data = experiment.data.model_copy(update={"uri": table.name})
        experiment = experiment.model_copy(update={"data": data})
    files[EXPERIMENT] = to_yaml(experiment).encode()
    if code is not None:
        for path in sorted(code.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                files[f"{code.name}/{path.relative_to(code).as_posix()}"] = path.read_bytes()
    made = _zipped(files)
    _refuse_large(made)
    return made, experiment


def _table_files(table: Path) -> dict[str, bytes]:
    """The manifest's file, or those of the parts in its folder, by their name in the job's folder."""
    paths = [table] if table.is_file() else sorted(table.rglob(f"*{table.suffix}"))
    return {path.relative_to(table.parent).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def _zipped(files: Mapping[str, bytes]) -> Pack:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _THEN), files[name], zipfile.ZIP_DEFLATED)
    digest = hashlib.sha256(b"".join(name.encode() + b"\0" + files[name] + b"\0" for name in sorted(files)))
    return Pack({name: len(files[name]) for name in sorted(files)}, out.getvalue(), digest.hexdigest())


def _refuse_large(made: Pack) -> None:
    if len(made.content) > MOST_BYTES:
        shown = "\n".join(f"  {size / 1e6:8.1f} MB  {name}" for name, size in made.largest)
        raise ConfigError(
            f"the job would carry {len(made.content) / 1e6:.1f} MB, and at most {MOST_BYTES / 1e6:.0f} MB travel with a job; "
            f"the largest:\n{shown}\n  Put large files where the cluster can read them (s3://...), and name them there."
        )


def refuse_local(experiment: Experiment) -> None:
    """Return if the cluster can see what the experiment names: a full path may be mounted everywhere, a relative one is not.

    Raises:
        ConfigError: images, weights or runs would be on this machine only; all of them.
    """
    problems = []
    if is_here(experiment.data.uri) and not _is_table(experiment.data.uri):
        problems.append(
            ("data.uri", experiment.data.uri, "s3://bucket/prefix, or the full path of a folder on every node")
        )
    if is_here(experiment.storage.uri):
        problems.append(
            ("storage.uri", experiment.storage.uri, "s3://bucket/prefix, or the full path of a shared folder")
        )
    weights = experiment.model.weights
    if weights not in ("pretrained", "none") and is_here(weights):
        problems.append(("model.weights", weights, "pretrained, none, or the full path of a file on every node"))
    if problems:
        lines = [f"  {key}: found {found!r}; expected {expected}" for key, found, expected in problems]
        raise ConfigError(
            "the cluster's machines do not see this one's folders:\n"
            + "\n".join(lines)
            + "\n  Change it in the file, or by --set."
        )


def is_here(uri: str) -> bool:
    """Whether only this machine knows the place: a relative path; a full one may be mounted everywhere."""
    return not has_scheme(uri) and not Path(uri).is_absolute()


def _is_table(uri: str) -> bool:
    return not has_scheme(uri) and is_table_name(uri)
