"""Tensors from files, without running code from them, and how they fit."""

from __future__ import annotations

import argparse
import datetime
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from raytl.config.schema import ModelConfig
from raytl.data.transforms import Preprocess
from raytl.errors import ModelError, RaytlError
from raytl.models.backbone import build
from raytl.models.saved_model import Card, save_model
from raytl.models.weights import fit, read, state_digest, take


def state() -> dict[str, Tensor]:
    return {"conv.weight": torch.randn(4, 3, 3, 3), "steps": torch.tensor(3)}


def test_half_precision_becomes_float32_and_integers_stay(tmp_path: Path) -> None:
    save_file(
        {"a": torch.ones(2, dtype=torch.float16), "b": torch.ones(2, dtype=torch.int64)}, tmp_path / "w.safetensors"
    )
    result = take(read(tmp_path / "w.safetensors"), net(), ()).tensors
    assert (result["a"].dtype, result["b"].dtype) == (torch.float32, torch.int64)


def trained() -> dict[str, Tensor]:
    """Every tensor of a small network, each with values of its own."""
    torch.manual_seed(3)
    module = build(ModelConfig(name="test_resnet", weights="none"), 3).module
    return {name: torch.rand(t.shape).add(t).to(t.dtype) for name, t in module.state_dict().items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def other(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same names and shapes with other values: what must not be taken."""
    return {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}


ARGS = argparse.Namespace(
    lr=0.1,
    output=Path("runs"),
    where=PurePosixPath("a/b"),
    windows=PureWindowsPath("a"),
    seed=np.int64(3),
    best=np.float64(0.5),
    mean=np.arange(3.0),
    dtype=np.dtype("float32"),
    when=datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC),
    took=datetime.timedelta(seconds=3),
    inner=SimpleNamespace(a=[1, (2, 3), {4}, frozenset({5}), range(6), None, 1.5, b"x", 2j]),
    counts=defaultdict(list, {"a": [1]}),
    last=deque([1, 2]),
    version=torch.__version__,
)

OPTIMIZER = {
    "state": {0: {"step": torch.tensor(4.0), "exp_avg": torch.zeros(2, 2), "exp_avg_sq": torch.zeros(2, 2)}},
    "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0]}],
}


def lightning(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "epoch": 3,
        "global_step": 12,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": under("model.", tensors) | {"criterion.weight": torch.ones(3)},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 3}}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5), "dirpath": "x"}},
        "optimizer_states": [OPTIMIZER],
        "lr_schedulers": [{"milestones": Counter([3]), "last_epoch": 1}],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.1, "root": Path("data")},
    }


#: What people have, as a function of a network's tensors, and what of it is taken; None where it is the whole file.
KINDS: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str | None]] = {
    "plain": (lambda t: t, None),
    "ordered": (OrderedDict, None),
    "parameters": (lambda t: {n: nn.Parameter(v, requires_grad=False) for n, v in t.items()}, None),
    **{
        prefix: ((lambda p: lambda t: under(p, t))(prefix), f"took its tensors without the prefix '{prefix}' ")
        for prefix in (
            *("model.", "net.", "backbone.", "module.", "_orig_mod.", "encoder.", "timm_model.", "0.", "module.model."),
            *("module._orig_mod.", "_orig_mod.module.", "model._orig_mod.", "student.backbone.", "my.own_name.of.it."),
        )
    },
    **{
        wrapper: ((lambda w: lambda t: {w: t, "epoch": 3, "optimizer": OPTIMIZER})(wrapper), f"took '{wrapper}' (")
        for wrapper in ("state_dict", "model_state_dict", "model", "net", "weights", "params", "state_dict_ema")
    },
    "ema.module": (lambda t: {"ema": {"module": t, "decay": 0.9}, "epoch": 1}, "took 'ema.module' ("),
    "composer": (
        lambda t: {"state": {"model": under("module.", t), "run": "x"}, "rng": []},
        "took 'state.model' without",
    ),
    "n_averaged": (
        lambda t: {"n_averaged": torch.tensor(5), **under("module.", t)},
        "without the prefix 'module.' (92 tensors); left out n_averaged",
    ),
    "n_averaged without a prefix": (
        lambda t: {"n_averaged": torch.tensor(5), **t},
        "(92 tensors); left out n_averaged",
    ),
    "beside args": (lambda t: {**t, "args": ARGS, "epoch": 3, "path": Path("x")}, "left out args, epoch, path"),
    "imagenet example": (
        lambda t: {"epoch": 3, "arch": "r", "state_dict": under("module.", t), "best_acc1": torch.tensor(0.5)},
        "took 'state_dict' without the prefix 'module.' (92 tensors)",
    ),
    "timm": (
        lambda t: {
            "epoch": 3,
            "arch": "r",
            "state_dict": other(t),
            "optimizer": OPTIMIZER,
            "version": 2,
            "args": ARGS,
            "amp_scaler": {"scale": 1.0},
            "state_dict_ema": t,
            "metric": np.float64(70.1),
        },
        "took 'state_dict_ema' (92 tensors)",
    ),
    "torchvision": (
        lambda t: {
            "model": other(t),
            "optimizer": OPTIMIZER,
            "lr_scheduler": {"T_max": 3},
            "epoch": 1,
            "args": ARGS,
            "model_ema": {"n_averaged": torch.tensor(5), **under("module.", t)},
            "scaler": {},
        },
        "took 'model_ema' without the prefix 'module.' (92 tensors); left out n_averaged",
    ),
    "lightning": (
        lightning,
        "took 'state_dict' without the prefix 'model.' (92 tensors); left out criterion.weight",
    ),
    "an average of parameters alone": (
        lambda t: {"model": t, "ema": {n: v * 0 for n, v in t.items() if "running" not in n}},
        "took 'model' (92 tensors)",
    ),
    "momentum encoders": (
        lambda t: {
            "state_dict": {
                **under("module.encoder_q.", t),
                **under("module.encoder_k.", other(t)),
                "module.queue": torch.zeros(2, 9),
            }
        },
        "took 'state_dict' without the prefix 'module.encoder_q.' (92 tensors); left out module.encoder_k.",
    ),
    "wrapped inside": (
        lambda t: {
            n.replace("layer1.", "layer1.module.").replace("conv1.", "conv1._orig_mod."): v for n, v in t.items()
        },
        "took its tensors without torch's wrappers in its names (92 tensors)",
    ),
    "half": (lambda t: {n: v.half() if v.is_floating_point() else v for n, v in t.items()}, None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_as_people_have_it_gives_every_tensor_of_the_trunk(kind: str, tmp_path: Path) -> None:
    tensors = trained()
    saved, text = KINDS[kind]
    torch.save(saved(tensors), tmp_path / "w.pth")
    built = build(ModelConfig(name="test_resnet", weights=str(tmp_path / "w.pth")), 5)
    own = built.module.state_dict()
    exact = {"half": 1e-3}.get(kind, 0.0)
    for name in own:
        if name not in built.head:
            torch.testing.assert_close(own[name], tensors[name], rtol=exact, atol=exact)
    if text is None:
        assert built.notes == ()
    else:
        (note,) = built.notes
        assert note.startswith("model.weights: w.pth: took ") and text in note


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.bin", "w.ckpt", "w.pth.tar", "w.weights", "w"])
@pytest.mark.parametrize("zipped", [True, False])
def test_the_ending_and_the_age_of_the_format_do_not_matter(name: str, zipped: bool, tmp_path: Path) -> None:
    saved = {"state_dict": under("module.", net().state_dict()), "args": ARGS}
    torch.save(saved, tmp_path / name, _use_new_zipfile_serialization=zipped)
    module = net()
    taken = take(read(tmp_path / name), module, HEAD)
    fit(module, taken.tensors, HEAD, name)
    assert torch.equal(module[0].weight, saved["state_dict"]["module.0.weight"])


def test_a_prefix_in_safetensors_is_left_away_too(tmp_path: Path) -> None:
    save_file(under("model.", net().state_dict()), tmp_path / "w.safetensors")
    assert take(read(tmp_path / "w.safetensors"), net(), HEAD).tensors.keys() == net().state_dict().keys()


def test_the_digest_does_not_depend_on_the_wrapper(tmp_path: Path) -> None:
    tensors = trained()
    digests = set()
    for number, saved in enumerate((tensors, under("module.", tensors), {"state_dict": under("model.", tensors)})):
        torch.save(saved, tmp_path / f"{number}.pth")
        digests.add(build(ModelConfig(name="test_resnet", weights=str(tmp_path / f"{number}.pth")), 5).weights_digest)
    assert digests == {state_digest(tensors)}


class Trap:
    """Code that runs if the pickle is loaded unsafely."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    torch.save({"state_dict": Trap(tmp_path / "sprung")}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"w.pth cannot be read as plain tensors .*raytl runs no code"):
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
    with pytest.raises(ModelError, match=r"contains no state dict .found a mapping with keys epoch, note."):
        read(tmp_path / "w.pth")


def test_a_file_behind_a_uri_is_fetched(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "w.safetensors")
    assert torch.equal(read(f"file://{tmp_path}/w.safetensors").state["a"], torch.ones(2))


def test_a_run_behind_a_uri_is_fetched(tmp_path: Path) -> None:
    best = tmp_path / "checkpoints" / "best"
    preprocess = Preprocess(32, 36, "center", "bicubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    save_model(best, net(), Card("net", ("a", "b"), preprocess, "none"))
    result = read(f"file://{tmp_path}")
    assert (result.preprocess, result.model) == (preprocess, "net")
    assert result.state.keys() == net().state_dict().keys()


def test_a_missing_file_behind_a_uri_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RaytlError, match=r"w.safetensors|nothing"):
        read(f"file://{tmp_path}/w.safetensors")


def test_a_missing_file_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no file .*gone.pth; expected pretrained, none, a .safetensors"):
        read(tmp_path / "gone.pth")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no saved model in .*; expected a run folder"):
        read(tmp_path)


def test_a_folder_of_weight_files_names_them(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(ModelError, match=r"with checkpoints/best. Name a file in it: pytorch_model.bin"):
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
    with pytest.raises(ModelError, match=r"w.pth does not match this architecture:") as info:
        fit(module, given, HEAD, "w.pth")
    lines = str(info.value).splitlines()
    assert lines[1] == "  1 missing: 1.bias"
    assert lines[2].startswith("  9 unexpected: extra0, ") and lines[2].endswith("extra7 and 1 more")
    assert lines[3] == "  1 with another shape: 0.weight (4, 1, 3, 3) where the model has (4, 3, 3, 3)"
    assert state_digest(module.state_dict()) == before  # refused whole


def test_the_digest_is_of_the_content_and_not_of_the_order_or_layout() -> None:
    tensors = state()
    digest = state_digest(tensors)
    assert state_digest(dict(reversed(tensors.items()))) == digest
    turned = tensors | {"conv.weight": tensors["conv.weight"].to(memory_format=torch.channels_last)}
    assert state_digest(turned) == digest
    assert state_digest(tensors | {"steps": torch.tensor(4)}) != digest
    assert state_digest({"a": torch.zeros(0, 3)}) != state_digest({"a": torch.zeros(3, 0)})


def test_a_value_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"contains no state dict .found list."):
        read(tmp_path / "w.pth")


def test_a_file_that_lacks_a_few_tensors_is_named_incomplete_and_not_another_model() -> None:
    given = {name: tensor for name, tensor in trained().items() if name != "layer3.0.conv1.weight"}
    given["layer3.0.conv_1.weight"] = torch.zeros(1)
    built = build(ModelConfig(name="test_resnet", weights="none"), 3)
    with pytest.raises(ModelError, match=r"w.pth does not match this architecture:") as info:
        fit(built.module, given, built.head, "w.pth")
    lines = str(info.value).splitlines()
    assert lines[1] == "  1 missing: layer3.0.conv1.weight (the file has layer3.0.conv_1.weight)"
    assert lines[2] == "  1 unexpected: layer3.0.conv_1.weight"
    assert "of this model, but incomplete or modified" in lines[3]
    assert "Set model.name" not in str(info.value)


def test_a_deeper_network_of_the_family_is_another_model(tmp_path: Path) -> None:
    tensors = trained()
    deeper = tensors | {n.replace("layer3.0", f"layer3.{i}"): t for i in (1, 2, 3) for n, t in tensors.items()}
    torch.save({"state_dict": under("model.", deeper)}, tmp_path / "w.pth")
    with pytest.raises(
        ModelError, match=r"w.pth \(took 'state_dict' without the prefix 'model.' .*(\n.*)*Set model.name"
    ):
        build(ModelConfig(name="test_resnet", weights=str(tmp_path / "w.pth")), 3)
