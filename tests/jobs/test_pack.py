"""A job's package holds the resolved experiment, the code if requested, and never data."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
import yaml

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.errors import ConfigError
from raytl.jobs import pack as packing
from raytl.jobs.pack import Pack, pack

FAR = Experiment.model_validate(
    {
        "name": "far",
        "data": {"uri": "s3://bucket/photos"},
        "model": {"name": "test_resnet", "weights": "none"},
        "storage": {"uri": "s3://bucket/runs"},
    }
)


def names(packed: Pack) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(packed.content)).namelist()


def test_only_the_resolved_experiment_is_packaged_if_the_image_has_raytl() -> None:
    packed, remote = pack(FAR, None)
    assert names(packed) == ["experiment.yaml"]
    text = zipfile.ZipFile(io.BytesIO(packed.content)).read("experiment.yaml")
    assert Experiment.model_validate(yaml.safe_load(text)) == remote == FAR


def test_equal_files_give_equal_bytes_and_changed_ones_another_digest(tmp_path: Path) -> None:
    (tmp_path / "raytl" / "__pycache__").mkdir(parents=True)
    (tmp_path / "raytl" / "a.py").write_text("1")
    (tmp_path / "raytl" / "__pycache__" / "a.pyc").write_text("1")
    one, _ = pack(FAR, tmp_path / "raytl")
    other, _ = pack(FAR, tmp_path / "raytl")
    assert names(one) == ["experiment.yaml", "raytl/a.py"]
    assert (one.content, one.digest) == (other.content, other.digest)
    (tmp_path / "raytl" / "a.py").write_text("2")
    assert pack(FAR, tmp_path / "raytl")[0].digest != one.digest


def test_a_local_manifest_is_packaged(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("path,label\ns3://b/1.jpg,a\n")
    packed, remote = pack(override(FAR, {"data.uri": str(tmp_path / "rows.csv")}), None)
    assert names(packed) == ["experiment.yaml", "rows.csv"]
    assert remote.data.uri == "rows.csv"


def test_a_manifest_of_parts_is_packaged_in_its_directory(tmp_path: Path) -> None:
    for name in ("a=1/part-0.csv", "part-1.csv", "_SUCCESS"):
        (tmp_path / "rows.csv" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "rows.csv" / name).write_text("path,label\ns3://b/1.jpg,a\n")
    packed, remote = pack(override(FAR, {"data.uri": f"{tmp_path}/rows.csv/"}), None)
    assert names(packed) == ["experiment.yaml", "rows.csv/a=1/part-0.csv", "rows.csv/part-1.csv"]
    assert remote.data.uri == "rows.csv"


def test_all_local_paths_are_refused_at_once() -> None:
    here = override(FAR, {"data.uri": "photos", "storage.uri": "runs/", "model.weights": "runs/old/"})
    with pytest.raises(
        ConfigError, match=r"(?s)data.uri: found 'photos'.*storage.uri: found 'runs/'.*model.weights: found"
    ):
        pack(here, None)


def test_a_local_table_that_is_not_there_and_a_local_split_file_are_refused() -> None:
    here = override(FAR, {"data.uri": "nowhere/rows.csv", "data.split_file": "splits.jsonl"})
    wanted = r"(?s)data.uri: found 'nowhere/rows.csv'; expected a table that exists here.*data.split_file: found 'splits.jsonl'"
    with pytest.raises(ConfigError, match=wanted):
        pack(here, None)


@pytest.mark.parametrize("prior", ["sweeps", ["s3://bucket/sweeps", "sweeps"]])
def test_earlier_sweeps_on_this_machine_are_refused(prior: str | list[str]) -> None:
    with pytest.raises(ConfigError, match=r"search.prior: found 'sweeps'; expected s3://bucket/prefix"):
        pack(override(FAR, {"search.prior": prior}), None)
    pack(override(FAR, {"search.prior": ["s3://bucket/sweeps", "/mnt/sweeps"]}), None)


def test_absolute_paths_may_be_mounted_everywhere() -> None:
    pack(override(FAR, {"data.uri": "/mnt/photos", "storage.uri": "/mnt/runs"}), None)
    pack(override(FAR, {"data.uri": "/mnt/rows.csv", "data.split_file": "/mnt/splits.jsonl"}), None)
    pack(override(FAR, {"model.weights": "models:/mnt/registry@champion"}), None)
    with pytest.raises(ConfigError, match="model.weights: found 'models:registry@champion'"):
        pack(override(FAR, {"model.weights": "models:registry@champion"}), None)


def test_a_package_that_is_too_large_lists_its_largest_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MAX_BYTES", 100)
    (tmp_path / "rows.csv").write_bytes(bytes(range(256)) * 400)
    with pytest.raises(ConfigError, match=r"(?s)expected at most 0 MB. Largest files:\n +0.1 MB  rows.csv"):
        pack(override(FAR, {"data.uri": str(tmp_path / "rows.csv")}), None)
