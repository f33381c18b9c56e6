"""The package that is uploaded with a job: the resolved experiment and, if requested, this checkout's code. Never data."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from raytl.config.dump import to_yaml
from raytl.config.schema import Experiment
from raytl.errors import ConfigError
from raytl.uris import has_scheme, is_table_name

EXPERIMENT = "experiment.yaml"
MAX_BYTES = 50 * 2**20
"""Half of the request limit of Ray's job server."""
_LISTED = 5
_IMAGES = "s3://bucket/prefix, or an absolute path that exists on every node"
_SHARED = "s3://bucket/prefix, or the absolute path of a shared directory"
_FILE = "s3://bucket/key, or the absolute path of a file on every node"
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip: constant, so equal files give equal bytes


@dataclass(frozen=True)
class Pack:
    """Files by their name in the job's working directory, as one zip; `digest` is that of its content."""

    sizes: Mapping[str, int]
    content: bytes
    digest: str

    @property
    def largest(self) -> list[tuple[str, int]]:
        """Return the largest files, with their sizes in bytes."""
        return sorted(self.sizes.items(), key=lambda item: (-item[1], item[0]))[:_LISTED]


def pack(experiment: Experiment, code: Path | None) -> tuple[Pack, Experiment]:
    """Return the job's package and the experiment as the cluster will read it.

    `code` is the directory of the raytl package if it is to be included. A local manifest is included too.

    Raises:
        ConfigError: images, weights or runs are on this machine only, or the package is too large.
    """
    refuse_local(experiment)
    files: dict[str, bytes] = {}
    table = _table(experiment.data.uri)
    if _is_table(experiment.data.uri) and (rows := _table_files(table)):
        files |= rows
        data = experiment.data.model_copy(update={"uri": table.name})
        experiment = experiment.model_copy(update={"data": data})
    files[EXPERIMENT] = to_yaml(experiment).encode()
    if code is not None:
        for path in sorted(code.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                files[f"{code.name}/{path.relative_to(code).as_posix()}"] = path.read_bytes()
    packed = _zipped(files)
    _refuse_large(packed)
    return packed, experiment


def _table(uri: str) -> Path:
    return Path(uri).expanduser()


def _table_files(table: Path) -> dict[str, bytes]:
    """Return the manifest's file, or its part files, by their name in the job's working directory."""
    paths = [table] if table.is_file() else sorted(table.rglob(f"*{table.suffix}"))
    return {path.relative_to(table.parent).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def _zipped(files: Mapping[str, bytes]) -> Pack:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _TIMESTAMP), files[name], zipfile.ZIP_DEFLATED)
    digest = hashlib.sha256(b"".join(name.encode() + b"\0" + files[name] + b"\0" for name in sorted(files)))
    return Pack({name: len(files[name]) for name in sorted(files)}, out.getvalue(), digest.hexdigest())


def _refuse_large(packed: Pack) -> None:
    if len(packed.content) > MAX_BYTES:
        listing = "\n".join(f"  {size / 1e6:8.1f} MB  {name}" for name, size in packed.largest)
        raise ConfigError(
            f"the job's package has {len(packed.content) / 1e6:.1f} MB; expected at most {MAX_BYTES / 1e6:.0f} MB. Largest files:\n"
            f"{listing}\n  Put large files where the cluster can read them (s3://...), and use those paths."
        )


def refuse_local(experiment: Experiment, sends_table: bool = True) -> None:
    """Check that the cluster can see the experiment's paths: an absolute path may be mounted there, a relative one is not.

    With `sends_table`, a table on this machine is sent with the experiment.

    Raises:
        ConfigError: images, weights or runs are on this machine only; the text lists all of them.
    """
    problems = [
        (key, value, expected)
        for key, value, expected in _places(experiment, sends_table)
        if value is not None and is_local(value.removeprefix("models:"))
    ]
    if problems:
        lines = [f"  {key}: found {value!r}; expected {expected}" for key, value, expected in problems]
        raise ConfigError(
            "the cluster cannot read paths of this machine:\n"
            + "\n".join(lines)
            + "\n  Change them in the file or with --set."
        )


def _places(experiment: Experiment, sends_table: bool) -> Iterator[tuple[str, str | None, str]]:
    """Yield each key that names a path, its value, and what the cluster can read."""
    data, prior = experiment.data, experiment.search.prior
    if not (sends_table and _is_table(data.uri)):
        yield "data.uri", data.uri, _IMAGES
    elif not _table(data.uri).exists():
        yield "data.uri", data.uri, "a table that exists here, which is sent with the job"
    yield "data.split_file", data.split_file, _FILE
    yield "labels.relabel", experiment.labels.relabel, _FILE
    yield "data.feedback", data.feedback, _SHARED
    yield "retrain.feedback", experiment.retrain.feedback, _SHARED
    yield "data.unlabelled", data.unlabelled, _IMAGES
    yield "data.synthetic.uri", data.synthetic.uri, _IMAGES
    yield "adapt.target", experiment.adapt.target, _IMAGES
    for sweeps in [prior] if isinstance(prior, str) else prior or []:
        yield "search.prior", sweeps, _SHARED
    yield "storage.uri", experiment.storage.uri, _SHARED
    if experiment.model.weights not in ("pretrained", "none"):
        yield (
            "model.weights",
            experiment.model.weights,
            "pretrained, none, or the absolute path of a file on every node",
        )


def is_local(uri: str) -> bool:
    """Return True for a relative path, which only this machine can resolve; an absolute one may be mounted everywhere."""
    return not has_scheme(uri) and not Path(uri).is_absolute()


def _is_table(uri: str) -> bool:
    return not has_scheme(uri) and is_table_name(uri)
