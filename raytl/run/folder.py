"""Where everything of a run lies, and how its manifest, written last, says that the run is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from raytl.config.places import run_uri
from raytl.errors import RunError
from raytl.events import OnEvent, ignore
from raytl.run.atomic import settle_dir, write_json
from raytl.store.cache import cache_root
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.stored import Format
from raytl.stored.bounds import Inside, at_most
from raytl.stored.files import FileEntry
from raytl.uris import is_remote, local_path

if TYPE_CHECKING:
    from raytl.config.schema import Experiment

_NOT_IN_MANIFEST = {"raytl.log", "tensorboard", "test_ledger.jsonl", "evaluation", "manifest.json", "failure.json"}
_CHUNK_BYTES = 1 << 20
REQUIRED = (
    "experiment.yaml",
    "samples.jsonl",
    "checkpoints/best/model.json",
    "checkpoints/best/model.safetensors",
)
"""What every finished run holds: a manifest that leaves one of them out vouches for nothing."""


@dataclass(frozen=True, slots=True)
class RunManifest:
    """The files of a finished run by path, and what its training came to."""

    format: Literal[1]
    summary: Mapping[str, Any]
    files: Annotated[Mapping[Inside, FileEntry], at_most(100_000, "files")]

    @property
    def unlisted(self) -> list[str]:
        """The files that every run must hold, and this manifest does not list."""
        return [name for name in REQUIRED if name not in self.files]


MANIFEST_FORMAT = Format[RunManifest](
    RunManifest, "the manifest of a run", "Restore the file, or train again with --new.", RunError, max_bytes=16 << 20
)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's folder and the places of its files; the files need not exist."""

    root: Path

    @classmethod
    def of(cls, experiment: Experiment) -> RunFolder:
        """The folder on this node that `experiment` runs in: `<storage.uri>/<name>`, or its working copy."""
        return cls(working_copy(run_uri(experiment), S3Settings.of(experiment.storage)))

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """The run at `path`; RunError with what is there instead if it is no run."""
        folder = cls(Path(path))
        if not folder.root.exists():
            raise RunError(f"{path}: no such run folder{_runs_nearby(folder.root.parent)}")
        if not folder.root.is_dir():
            raise RunError(f"{path}: found a file, expected the folder of a run; `raytl train` makes one")
        if not folder.experiment.exists():
            raise RunError(f"{path}: not a run folder, experiment.yaml is missing{_contents(folder.root)}")
        settle_dir(folder.best)
        settle_dir(folder.last)
        return folder

    @property
    def experiment(self) -> Path:
        """The resolved experiment (YAML)."""
        return self.root / "experiment.yaml"

    @property
    def provenance(self) -> Path:
        """Versions, hardware, commit, command and seed (JSON)."""
        return self.root / "provenance.json"

    @property
    def samples(self) -> Path:
        """Every sample: key, path, label, split, digest (JSON lines)."""
        return self.root / "samples.jsonl"

    @property
    def classes(self) -> Path:
        """The class map (JSON)."""
        return self.root / "classes.json"

    @property
    def metrics(self) -> Path:
        """Metrics of every epoch (JSON lines)."""
        return self.root / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files (a folder)."""
        return self.root / "tensorboard"

    @property
    def log(self) -> Path:
        """What Ray, the workers and raytl said (text)."""
        return self.root / "raytl.log"

    @property
    def curves(self) -> Path:
        """Learning curves (PNG)."""
        return self.root / "curves.png"

    @property
    def confusion(self) -> Path:
        """Confusion matrix on the validation split (PNG)."""
        return self.root / "confusion.png"

    @property
    def best(self) -> Path:
        """The best checkpoint: the model bundle that evaluate and predict use (a folder)."""
        return self.root / "checkpoints" / "best"

    @property
    def last(self) -> Path:
        """The last checkpoint, that an interrupted run goes on from (a folder)."""
        return self.root / "checkpoints" / "last"

    @property
    def evaluation(self) -> Path:
        """Reports of `raytl evaluate` (a folder)."""
        return self.root / "evaluation"

    @property
    def ledger(self) -> Path:
        """Who looked at the test split, when, with which weights (JSON lines)."""
        return self.root / "test_ledger.jsonl"

    @property
    def manifest(self) -> Path:
        """Digests of the run's files; written last, so a run that has it is whole (JSON)."""
        return self.root / "manifest.json"

    @property
    def skipped(self) -> Path:
        """Images that were left out, with reasons (JSON lines)."""
        return self.root / "skipped.jsonl"

    @property
    def state(self) -> Path:
        """What an interrupted run has to remember (JSON)."""
        return self.root / "state.json"

    @property
    def finished(self) -> bool:
        """True when the manifest is there, valid and complete, and every file that it lists has its size."""
        try:
            manifest = MANIFEST_FORMAT.load(self.manifest)
            if manifest.unlisted:
                return False
            return all((self.root / name).stat().st_size == entry.bytes for name, entry in manifest.files.items())
        except (OSError, RunError):
            return False

    def summary(self) -> dict[str, Any]:
        """What `write_manifest` was given; RunError when the run is not finished."""
        if not self.finished:
            raise RunError(f"{self.root}: this run is not finished; run its `raytl train` command again to continue it")
        return dict(MANIFEST_FORMAT.load(self.manifest).summary)

    def write_manifest(self, summary: Mapping[str, Any]) -> None:
        """Write the manifest: `summary` and the sha256 and size of every file that training leaves for good.

        Left out are the log, TensorBoard's files, and what evaluation adds later (reports and ledger).
        """
        files = {name: asdict(_entry(self.root / name)) for name in sorted(self._lasting())}
        write_json(self.manifest, {"format": 1, "summary": summary, "files": files})

    def verify(self, on_event: OnEvent = ignore) -> list[str]:
        """Every way in which the files differ from the manifest, as lines; none when the run is whole."""
        if not self.manifest.exists():
            return [f"{self.manifest}: missing; the run is not finished"]
        try:
            manifest = MANIFEST_FORMAT.load(self.manifest, on_event)
        except RunError as error:
            return [str(error)]
        unlisted = [f"{self.manifest}: it does not list {name}, which every run holds" for name in manifest.unlisted]
        found = (_difference(self.root / name, entry) for name, entry in manifest.files.items())
        return [*unlisted, *filter(None, found)]

    def _lasting(self) -> Iterator[str]:
        for path in self.root.rglob("*"):
            parts = path.relative_to(self.root).parts
            if path.is_file() and parts[0] not in _NOT_IN_MANIFEST and not any(part.startswith(".") for part in parts):
                yield path.relative_to(self.root).as_posix()


def working_copy(uri: str, s3: S3Settings = ENVIRONMENT) -> Path:
    """The folder itself; of what lies in a bucket, the folder in this node's cache that is worked in."""
    if not is_remote(uri):
        return local_path(uri)
    digest = hashlib.sha256(s3.cache_name(uri).encode()).hexdigest()[:16]
    return cache_root() / "runs" / digest / uri.rstrip("/").rsplit("/", 1)[-1]


def _entry(path: Path) -> FileEntry:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return FileEntry(size, digest.hexdigest())


def _difference(path: Path, entry: FileEntry) -> str | None:
    if not path.is_file():
        return f"{path}: missing, though the manifest lists it"
    found = _entry(path)
    if found.bytes != entry.bytes:
        return f"{path}: found {found.bytes} bytes, expected {entry.bytes}"
    return None if found == entry else f"{path}: content changed since the run ended (its sha256 is another)"


def _runs_nearby(parent: Path) -> str:
    runs = _runs_in(parent)
    return f"; runs in {parent}: {', '.join(runs)}" if runs else "; `raytl train` makes one"


def _contents(root: Path) -> str:
    if runs := _runs_in(root):
        return f"; it holds runs, name one of them: {', '.join(str(root / run) for run in runs)}"
    names = sorted(path.name for path in root.iterdir())[:5]
    return f"; found {', '.join(names)}" if names else "; the folder is empty"


def _runs_in(parent: Path) -> list[str]:
    return sorted(path.parent.name for path in parent.glob("*/experiment.yaml"))[:10]
