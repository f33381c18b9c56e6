"""Nothing that is loaded runs code: one hostile file of each kind, and an error that names it."""

from __future__ import annotations

import argparse
import base64
import json
import pickle
import tarfile
import zipfile
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from raytl.config.load import load_experiment
from raytl.data import image_packs
from raytl.data.formats import scan
from raytl.errors import ConfigError, ModelError, RunError
from raytl.models import weights
from raytl.models.saved_model import load_model
from raytl.search.cma import restored
from raytl.training import checkpoint
from tests.conftest import MakePhotos
from tests.security.conftest import Trap


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".bin", ".tar", ""])
def test_a_pickle_among_weights_is_refused(
    suffix: str, old_format: bool, wrapped: bool, trap: Trap, tmp_path: Path
) -> None:
    place = tmp_path / f"evil{suffix}"
    content = {"state_dict": {"w": torch.zeros(2)}, "hook": trap} if wrapped else trap
    torch.save(content, place, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(ModelError, match=r"evil.* cannot be read as plain tensors .*raytl runs no code"):
        weights.read(place)


@pytest.mark.parametrize("holder", [argparse.Namespace, SimpleNamespace, dict])
def test_a_pickle_among_the_allowed_records_is_refused(holder: type, trap: Trap, tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": torch.zeros(2)}, "args": holder(hook=trap)}, tmp_path / "evil.pth")
    with pytest.raises(ModelError, match=r"evil.pth cannot be read as plain tensors .*of type \w+\.mkdir"):
        weights.read(tmp_path / "evil.pth")


def test_torch_cannot_be_told_by_the_environment_to_run_code(
    trap: Trap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save(trap, tmp_path / "evil.pth")
    with pytest.raises(ModelError, match="evil.pth"):
        weights.read(tmp_path / "evil.pth")


class _Pretending(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_program_in_the_place_of_weights_is_refused(tmp_path: Path) -> None:
    torch.jit.script(_Pretending()).save(str(tmp_path / "evil.pt"))
    with pytest.raises(ModelError, match="evil.pt cannot be read as plain tensors"):
        weights.read(tmp_path / "evil.pt")


def test_pickles_named_as_safetensors_are_refused(trap: Trap, tmp_path: Path) -> None:
    (tmp_path / "evil.safetensors").write_bytes(trap.pickled)
    with pytest.raises(ModelError, match="evil.safetensors cannot be read as safetensors"):
        weights.read(tmp_path / "evil.safetensors")


@pytest.mark.parametrize(
    "header",
    [
        b"\xff" * 8 + b"{}",
        (1 << 40).to_bytes(8, "little") + b"{}",
        b"".join(
            [(70).to_bytes(8, "little"), b'{"w":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,8]}}  ']
        ),
        b"".join(
            [(69).to_bytes(8, "little"), b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4000000000000]}}   ']
        ),
    ],
    ids=["length of all bits", "longer than the file", "huge shape", "behind the end"],
)
def test_safetensors_with_a_lying_header_are_refused(header: bytes, tmp_path: Path) -> None:
    (tmp_path / "liar.safetensors").write_bytes(header)
    with pytest.raises(ModelError, match="liar.safetensors cannot be read"):
        weights.read(tmp_path / "liar.safetensors")


def test_a_saved_model_of_a_name_that_would_be_fetched_is_refused(tmp_path: Path) -> None:
    tensors = {"w": torch.zeros(1)}
    save_file(tensors, tmp_path / "model.safetensors")
    preprocess = {"image_px": 32, "resize_px": 32, "crop_mode": "center", "interpolation": "bilinear"}
    card = {
        "model": "hf-hub:somebody/evil",
        "classes": ["a"],
        "preprocess": {**preprocess, "mean": [0, 0, 0], "std": [1, 1, 1]},
        "weights_digest": "none",
        "digest": weights.state_digest(tensors),
    }
    (tmp_path / "model.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="hf-hub: is not a supported library"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "average.safetensors", "optimizer.safetensors", "state.json"])
def test_a_pickle_in_a_checkpoint_is_refused(name: str, trap: Trap, tmp_path: Path) -> None:
    whole = checkpoint.Checkpoint(checkpoint.Progress(), {"w": torch.zeros(1)}, {}, {}, {})
    checkpoint.save(tmp_path / "last", whole)
    assert checkpoint.load(tmp_path / "last") is not None
    (tmp_path / "last" / name).write_bytes(trap.pickled)
    with pytest.raises(RunError, match=r"last.*: .*[Tt]his checkpoint is damaged.*\n.*--new"):
        checkpoint.load(tmp_path / "last")


@pytest.mark.parametrize("state", [b"[" * 100_000, b"[]", b'{"progress": 3}', b'{"progress": {"best": [], "x": 1}}'])
def test_a_checkpoint_that_makes_no_sense_is_refused(state: bytes, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_bytes(state)
    for read in (checkpoint.load, checkpoint.read_progress):
        with pytest.raises(RunError, match=r"state\.json: .*This checkpoint is damaged.*\n.*--new"):
            read(tmp_path)


def test_a_pickle_in_the_cache_of_decoded_images_is_not_opened(trap: Trap) -> None:
    folder = image_packs.root() / "key" / "pack"
    folder.mkdir(parents=True)
    np.save(folder / "index.npy", np.array([trap], dtype=object), allow_pickle=True)
    (folder / "pixels.bin").touch()
    (folder / "pack.json").write_text(json.dumps({"bytes": 0, "images": 1}))
    assert list(image_packs.complete_packs("key")) == []


def test_a_study_s_pickled_optimizer_runs_nothing(trap: Trap) -> None:
    with pytest.raises(RunError, match=r"study.log: the optimizer of trial 7 is not one .* it was not run"):
        restored(trap.pickled.hex(), 7)


def test_a_study_s_optimizer_may_hold_arrays_and_random_states() -> None:
    kept = {"mean": np.arange(3.0), "rng": np.random.RandomState(7), "scalar": np.float64(2)}
    found = restored(pickle.dumps(kept).hex(), 0)
    assert found["mean"].tolist() == [0, 1, 2]
    assert found["rng"].random_sample() == np.random.RandomState(7).random_sample()


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.mkdir [{mark}]",
        "!!python/object/new:os.mkdir [{mark}]",
        "!!python/name:os.mkdir",
        "!!python/module:os",
        "!<tag:yaml.org,2002:python/object/apply:os.mkdir> [{mark}]",
    ],
)
def test_an_experiment_with_python_in_its_tags_is_refused(value: str, trap: Trap, tmp_path: Path) -> None:
    value = value.format(mark=trap.mark)
    plain = "name: x\ndata: {uri: x}\nmodel: {name: resnet18}\n"
    path, good = tmp_path / "evil.yaml", tmp_path / "good.yaml"
    path.write_text(f"{plain}train: {value}\n")
    good.write_text(plain)
    with pytest.raises(ConfigError, match=r"evil.yaml"):
        load_experiment(path)
    with pytest.raises(ConfigError, match=r"--set train: found the text"):
        load_experiment(good, [f"train={value}"])
    with pytest.raises(ConfigError, match=r"--set train"):
        load_experiment(good, [f"train=[{value}]"])


@pytest.mark.parametrize(
    "text",
    [
        "name: " + "[" * 20_000,
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "\n".join(f"{n}: &{n} [{','.join(f'*{before}' for _ in range(9))}]" for before, n in pairwise("abcdefghi")),
        "name: x\ndata: {uri: x}\nmodel: {name: r}\ntrain: {seed: " + "1" * 90 + "_1" * 5000 + "}",
    ],
    ids=["deep", "laughs", "long seed"],
)
def test_an_experiment_that_swells_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "evil.yaml").write_text(text)
    with pytest.raises(ConfigError, match="evil.yaml"):
        load_experiment(tmp_path / "evil.yaml")


def test_parquet_with_a_pickled_type_is_read_as_its_plain_columns(
    trap: Trap, tmp_path: Path, make_photos: MakePhotos
) -> None:
    make_photos(1)
    told = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": trap.pickled}
    schema = pa.schema([pa.field("path", pa.string(), metadata=told), ("label", pa.string())])
    also = {b"pandas": trap.pickled, b"pickled": base64.b64encode(trap.pickled)}
    table = pa.table(
        [["photos/red/000.jpg", "photos/blue/000.jpg"], ["red", "blue"]], schema=schema.with_metadata(also)
    )
    pq.write_table(table, tmp_path / "evil.parquet")
    assert [sample.label for sample in scan(str(tmp_path / "evil.parquet")).samples] == ["blue", "red"]


def test_labels_of_pickles_in_shards_are_text(trap: Trap, tmp_path: Path, make_photos: MakePhotos) -> None:
    image = (make_photos(1) / "red" / "000.jpg").read_bytes()
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name, content in (("0.jpg", image), ("0.cls", trap.pickled), ("0.pyd", trap.pickled), ("1.jpg", image)):
            tar.addfile(_info(name, content), BytesIO(content))
        deep = b"[" * 100_000
        tar.addfile(_info("1.json", deep), BytesIO(deep))
    with pytest.raises(Exception, match=r"1 samples of the shards have no label .*\n.*s: '1.jpg'"):
        scan(str(tmp_path / "s.tar"))


def test_jsonl_that_nests_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evil.jsonl").write_text('{"path": ' + "[" * 100_000)
    with pytest.raises(Exception, match="evil.jsonl: expected one JSON object per line"):
        scan(str(tmp_path / "evil.jsonl"))


def test_weights_in_a_zip_that_is_none_of_torch_s_are_refused(trap: Trap, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.pth", "w") as packed:
        packed.writestr("archive/data.pkl", trap.pickled)
        packed.writestr("archive/version", "3")
        packed.writestr("__main__.py", f"import os; os.mkdir({trap.mark!r})")
    with pytest.raises(ModelError, match="evil.pth cannot be read as plain tensors"):
        weights.read(tmp_path / "evil.pth")


def _info(name: str, content: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info
