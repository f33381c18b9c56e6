"""The files of a run. The manifest is written last, so a run with a manifest is complete."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from raytl.config.places import run_uri
from raytl.errors import RunError
from raytl.events import OnEvent, ignore
from raytl.run.atomic import recover_dir, write_json
from raytl.store.cache import cache_root
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.stored import Format
from raytl.stored.bounds import Inside, at_most
from raytl.stored.files import FileEntry
from raytl.uris import is_remote, local_path

if TYPE_CHECKING:
    from raytl.config.schema import Experiment

_NOT_IN_MANIFEST = {
    "raytl.log",
    "tensorboard",
    "test_ledger.jsonl",
    "evaluation",
    "bundles",
    "manifest.json",
    "failure.json",
}
_CHUNK_BYTES = 1 << 20
WARMUP = "warmup"
"""The folder of the warm-up below a run."""
REQUIRED = (
    "experiment.yaml",
    "samples.jsonl",
    "checkpoints/best/model.json",
    "checkpoints/best/model.safetensors",
)
"""The files of every finished run: a manifest without one of them is invalid."""


@dataclass(frozen=True, slots=True)
class RunManifest:
    """The files of a finished run by path, and the summary of its training."""

    format: Literal[1]
    summary: Mapping[str, Any]
    files: Annotated[Mapping[Inside, FileEntry], at_most(100_000, "files")]

    @property
    def unlisted(self) -> list[str]:
        """Return the required files that this manifest does not list."""
        return [name for name in REQUIRED if name not in self.files]


MANIFEST_FORMAT = Format[RunManifest](
    RunManifest, "the manifest of a run", "Restore the file, or train again with --new.", RunError, max_bytes=16 << 20
)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of a run and the paths of its files; the files need not exist."""

    root: Path

    @classmethod
    def of(cls, experiment: Experiment) -> RunFolder:
        """Return the folder of `experiment` on this node: `<storage.uri>/<name>`, or its working copy."""
        return cls(working_copy(run_uri(experiment), S3Settings.of(experiment.storage)))

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Return the run at `path`.

        Raises:
            RunError: there is no run; the error lists what is there instead.
        """
        folder = cls(Path(path))
        if not folder.root.exists():
            raise RunError(f"{path}: no such run folder{_runs_nearby(folder.root.parent)}")
        if not folder.root.is_dir():
            raise RunError(f"{path}: found a file, expected the folder of a run; `raytl train` creates one")
        if not folder.experiment.exists():
            raise RunError(f"{path}: not a run folder, experiment.yaml is missing{_contents(folder.root)}")
        recover_dir(folder.best)
        recover_dir(folder.last)
        return folder

    @property
    def experiment(self) -> Path:
        """Return the path of the resolved experiment (YAML)."""
        return self.root / "experiment.yaml"

    @property
    def provenance(self) -> Path:
        """Return the path of the provenance: versions, hardware, commit, command and seed (JSON)."""
        return self.root / "provenance.json"

    @property
    def samples(self) -> Path:
        """Return the path of the samples: key, path, label, split, digest (JSON lines)."""
        return self.root / "samples.jsonl"

    @property
    def classes(self) -> Path:
        """Return the path of the class map (JSON)."""
        return self.root / "classes.json"

    @property
    def metrics(self) -> Path:
        """Return the path of the metrics of every epoch (JSON lines)."""
        return self.root / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """Return the folder of TensorBoard event files."""
        return self.root / "tensorboard"

    @property
    def log(self) -> Path:
        """Return the path of the log of Ray, the workers and raytl (text)."""
        return self.root / "raytl.log"

    @property
    def curves(self) -> Path:
        """Return the path of the learning curves (PNG)."""
        return self.root / "curves.png"

    @property
    def confusion(self) -> Path:
        """Return the path of the confusion matrix on the validation split (PNG)."""
        return self.root / "confusion.png"

    @property
    def best(self) -> Path:
        """Return the folder of the best checkpoint: the saved model that evaluate and predict use."""
        return self.root / "checkpoints" / "best"

    @property
    def last(self) -> Path:
        """Return the folder of the last checkpoint, from which an interrupted run resumes."""
        return self.root / "checkpoints" / "last"

    @property
    def head(self) -> Path:
        """Return the folder of the head that was solved on the frozen features."""
        return self.root / "head"

    @property
    def warmup(self) -> RunFolder:
        """Return the run of the warm-up below this one; its best checkpoint is the network that training starts from."""
        return RunFolder(self.root / WARMUP)

    @property
    def evaluation(self) -> Path:
        """Return the folder of the reports of `raytl evaluate`."""
        return self.root / "evaluation"

    @property
    def ledger(self) -> Path:
        """Return the path of the test ledger: user, time and weights of each evaluation of the test split (JSON lines)."""
        return self.root / "test_ledger.jsonl"

    @property
    def manifest(self) -> Path:
        """Return the path of the manifest: digests of all files, written last, so a run with a manifest is complete (JSON)."""
        return self.root / "manifest.json"

    @property
    def skipped(self) -> Path:
        """Return the path of the skipped images, with reasons (JSON lines)."""
        return self.root / "skipped.jsonl"

    @property
    def state(self) -> Path:
        """Return the path of the state that an interrupted run needs to resume (JSON)."""
        return self.root / "state.json"

    @property
    def finished(self) -> bool:
        """Return True if the manifest is valid and complete, and every file in it has the listed size."""
        try:
            manifest = MANIFEST_FORMAT.load(self.manifest)
            if manifest.unlisted:
                return False
            return all((self.root / name).stat().st_size == entry.bytes for name, entry in manifest.files.items())
        except (OSError, RunError):
            return False

    def summary(self) -> dict[str, Any]:
        """Return the summary in the manifest.

        Raises:
            RunError: the run is not finished.
        """
        if not self.finished:
            raise RunError(f"{self.root}: this run is not finished; repeat its `raytl train` command to resume it")
        return dict(MANIFEST_FORMAT.load(self.manifest).summary)

    def write_manifest(self, summary: Mapping[str, Any]) -> None:
        """Write the manifest: `summary`, and the sha256 and size of every file that later steps do not change.

        It omits the log, TensorBoard files, and the reports and ledger that evaluation adds later.
        """
        files = {name: asdict(_entry(self.root / name)) for name in sorted(self._lasting())}
        write_json(self.manifest, {"format": 1, "summary": summary, "files": files})

    def verify(self, on_event: OnEvent = ignore) -> list[str]:
        """Return one line per difference between the files and the manifest; none if the run is intact."""
        if not self.manifest.exists():
            return [f"{self.manifest}: missing; the run is not finished"]
        try:
            manifest = MANIFEST_FORMAT.load(self.manifest, on_event)
        except RunError as error:
            return [str(error)]
        unlisted = [f"{self.manifest}: does not list {name}, which every run has" for name in manifest.unlisted]
        differences = (_difference(self.root / name, entry) for name, entry in manifest.files.items())
        return [*unlisted, *filter(None, differences)]

    def _lasting(self) -> Iterator[str]:
        for path in self.root.rglob("*"):
            parts = path.relative_to(self.root).parts
            if path.is_file() and parts[0] not in _NOT_IN_MANIFEST and not any(part.startswith(".") for part in parts):
                yield path.relative_to(self.root).as_posix()


def working_copy(uri: str, s3: S3Settings = ENVIRONMENT) -> Path:
    """Return the folder itself or, for a URI of a bucket, its working copy in the cache of this node."""
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
    actual = _entry(path)
    if actual.bytes != entry.bytes:
        return f"{path}: found {actual.bytes} bytes, expected {entry.bytes}"
    return None if actual == entry else f"{path}: content changed since the run ended (the sha256 differs)"


def _runs_nearby(parent: Path) -> str:
    runs = _runs_in(parent)
    return f"; runs in {parent}: {', '.join(runs)}" if runs else "; `raytl train` creates one"


def _contents(root: Path) -> str:
    if runs := _runs_in(root):
        return f"; it contains runs, specify one of them: {', '.join(str(root / run) for run in runs)}"
    names = sorted(path.name for path in root.iterdir())[:5]
    return f"; found {', '.join(names)}" if names else "; the folder is empty"


def _runs_in(parent: Path) -> list[str]:
    return sorted(path.parent.name for path in parent.glob("*/experiment.yaml"))[:10]
