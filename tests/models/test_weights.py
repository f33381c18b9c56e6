"""Tensors from files, without running code from them, and how they fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from raytl.data.transforms import Preprocess
from raytl.errors import ModelError, RaytlError
from raytl.models.bundle import Card, save_bundle
from raytl.models.weights import fit, read, state_digest, unwrap


def state() -> dict[str, Tensor]:
    return {"conv.weight": torch.randn(4, 3, 3, 3), "steps": torch.tensor(3)}


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_ema"])
def test_a_training_checkpoint_is_unwrapped(tmp_path: Path, wrapper: str | None) -> None:
    tensors = state()
    prefixed = {f"module.{name}": tensor for name, tensor in tensors.items()}
    saved: dict[str, Any] = prefixed if wrapper is None else {wrapper: prefixed, "epoch": 3}
    torch.save(saved, tmp_path / "w.pth")
    found = read(tmp_path / "w.pth").state
    assert set(found) == set(tensors)
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_the_average_is_taken_where_there_is_one(tmp_path: Path) -> None:
    plain, average = {"a": torch.zeros(1)}, {"a": torch.ones(1)}
    torch.save({"state_dict": plain, "state_dict_ema": average}, tmp_path / "w.pth")
    assert read(tmp_path / "w.pth").state["a"].item() == 1


def test_half_precision_becomes_float32_and_integers_stay(tmp_path: Path) -> None:
    save_file(
        {"a": torch.ones(2, dtype=torch.float16), "b": torch.ones(2, dtype=torch.int64)}, tmp_path / "w.safetensors"
    )
    found = read(tmp_path / "w.safetensors").state
    assert (found["a"].dtype, found["b"].dtype) == (torch.float32, torch.int64)


class Trap:
    """What a pickle can do when it is loaded with trust."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    torch.save({"state_dict": Trap(tmp_path / "sprung")}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"w.pth cannot be read as tensors alone .*raytl runs no code"):
        read(tmp_path / "w.pth")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 100])
def test_a_broken_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{name} cannot be read as"):
        read(tmp_path / name)


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "note": "hello"}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"holds no state dict .found a mapping with keys epoch, note."):
        read(tmp_path / "w.pth")


def test_a_file_behind_a_uri_is_fetched(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "w.safetensors")
    assert torch.equal(read(f"file://{tmp_path}/w.safetensors").state["a"], torch.ones(2))


def test_a_run_behind_a_uri_is_fetched(tmp_path: Path) -> None:
    best = tmp_path / "checkpoints" / "best"
    preprocess = Preprocess(32, 36, "center", "bicubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    save_bundle(best, net(), Card("net", ("a", "b"), preprocess, "none"))
    found = read(f"file://{tmp_path}")
    assert (found.preprocess, found.model) == (preprocess, "net")
    assert found.state.keys() == net().state_dict().keys()


def test_a_missing_file_behind_a_uri_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RaytlError, match=r"w.safetensors|nothing"):
        read(f"file://{tmp_path}/w.safetensors")


def test_a_missing_file_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no file .*gone.pth; expected pretrained, none, a .safetensors"):
        read(tmp_path / "gone.pth")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is a folder without a saved model; expected a run folder"):
        read(tmp_path)


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


HEAD = ("3.weight", "3.bias")


def test_all_but_the_head_is_loaded_whatever_the_heads_size() -> None:
    torch.manual_seed(0)
    module, given = net(), net().state_dict()
    given["3.weight"] = torch.zeros(7, 4)
    head = module[3].weight.detach().clone()
    fit(module, given, HEAD, "w.pth")
    assert torch.equal(module[0].weight, given["0.weight"])
    assert torch.equal(module[3].weight, head)


def test_a_fitting_head_is_dropped_too() -> None:
    torch.manual_seed(0)
    module, given = net(), net().state_dict()
    fit(module, given, HEAD, "w.pth")
    assert not torch.equal(module[3].weight, given["3.weight"])


def test_batch_counts_may_be_missing() -> None:
    given = net().state_dict()
    del given["1.num_batches_tracked"]
    fit(net(), given, HEAD, "w.pth")


def test_another_architecture_is_refused_with_keys_and_shapes() -> None:
    given = net().state_dict() | {f"extra{i}": torch.zeros(1) for i in range(9)} | {"0.weight": torch.zeros(4, 1, 3, 3)}
    del given["1.bias"]
    module = net()
    before = state_digest(module.state_dict())
    with pytest.raises(ModelError, match=r"w.pth is not for this architecture:") as info:
        fit(module, given, HEAD, "w.pth")
    lines = str(info.value).splitlines()
    assert lines[1] == "  1 missing: 1.bias"
    assert lines[2].startswith("  9 unexpected: extra0, ") and lines[2].endswith("extra7 and 1 more")
    assert lines[3] == "  1 of another shape: 0.weight (4, 1, 3, 3) where the model has (4, 3, 3, 3)"
    assert state_digest(module.state_dict()) == before  # refused whole


def test_the_digest_is_of_the_content_and_not_of_the_order_or_layout() -> None:
    tensors = state()
    digest = state_digest(tensors)
    assert state_digest(dict(reversed(tensors.items()))) == digest
    turned = tensors | {"conv.weight": tensors["conv.weight"].to(memory_format=torch.channels_last)}
    assert state_digest(turned) == digest
    assert state_digest(tensors | {"steps": torch.tensor(4)}) != digest
    assert state_digest({"a": torch.zeros(0, 3)}) != state_digest({"a": torch.zeros(3, 0)})


def test_a_value_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(ModelError, match=r"holds no state dict .found list."):
        unwrap([1, 2], Path("w.pth"))
