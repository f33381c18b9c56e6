"""Read torch.save files without running, importing or calling anything in them."""

from __future__ import annotations

import argparse
import pickle
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path, PosixPath
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raytl.errors import ModelError
from raytl.models.pickled import read_pickle


class Reduced:
    """Pickled as a call of `function` with `args`, and a state that is given to the result."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], state: object = None) -> None:
        self.reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> type:
    """A type of somebody's package."""
    module = ModuleType("mypackage")
    foreign = type("Trainer", (), {"__module__": "mypackage"})
    module.Trainer = foreign  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mypackage", module)
    return foreign


@pytest.mark.parametrize("zipped", [True, False])
def test_a_type_that_is_not_allowed_is_named(trainer: type, zipped: bool, tmp_path: Path) -> None:
    saved = {"state_dict": {"a": torch.zeros(1)}, "trainer": trainer()}
    torch.save(saved, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"w.pth cannot be read as plain tensors .*of type mypackage\.Trainer\)"):
        read_pickle(tmp_path / "w.pth")


def test_a_whole_model_is_named_by_its_class(tmp_path: Path) -> None:
    torch.save(nn.Linear(1, 1), tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"of type torch\.nn\.modules\.linear\.Linear\)"):
        read_pickle(tmp_path / "w.pth")


def test_another_pickle_protocol_is_said(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pth", pickle_protocol=4)
    with pytest.raises(ModelError, match=r"its pickle protocol is not 2, the default of torch.save"):
        read_pickle(tmp_path / "w.pth")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_program_is_called_one(tmp_path: Path) -> None:
    torch.jit.script(nn.Identity()).save(str(tmp_path / "w.pt"))
    with pytest.raises(ModelError, match=r"it is a TorchScript program"):
        read_pickle(tmp_path / "w.pt")


def test_records_are_stand_ins_that_hold_nothing(tmp_path: Path) -> None:
    args = argparse.Namespace(lr=0.1)
    torch.save({"args": args, "path": PosixPath("x"), "n": np.float64(2)}, tmp_path / "w.pth")
    content = read_pickle(tmp_path / "w.pth")
    assert isinstance(content, dict)
    assert {type(value) for value in content.values()}.isdisjoint({argparse.Namespace, PosixPath, np.float64, float})
    assert all(not vars(value) for value in content.values())


def test_what_mappings_hold_is_read(tmp_path: Path) -> None:
    torch.save({"state": defaultdict(list, {"a": torch.ones(2)})}, tmp_path / "w.pth")
    content = read_pickle(tmp_path / "w.pth")
    assert isinstance(content, dict) and torch.equal(content["state"]["a"], torch.ones(2))


def test_the_types_of_a_trainer_that_is_not_installed_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = "lightning_fabric.utilities.data"
    module = ModuleType(name)
    attributes = type("AttributeDict", (dict,), {"__module__": name})
    module.AttributeDict = attributes  # type: ignore[attr-defined]
    with monkeypatch.context() as saving:
        for part in ("lightning_fabric", "lightning_fabric.utilities", name):
            saving.setitem(sys.modules, part, module if part == name else ModuleType(part))
        torch.save({"hyper_parameters": attributes(lr=0.1)}, tmp_path / "w.ckpt")
    assert read_pickle(tmp_path / "w.ckpt") == {"hyper_parameters": {"lr": 0.1}}


def test_no_code_runs_through_the_types_that_are_allowed(tmp_path: Path) -> None:
    """The states and arguments with which the real types could be made to call something."""
    mark = tmp_path / "mark"
    inner = pickle.dumps(Reduced(Path.touch, (mark,)), protocol=2)
    loaded = [
        Reduced(argparse.Namespace, (), {"__class__": "x", "__setstate__": inner}),
        Reduced(np.dtype, ("O",), inner),
        Reduced(defaultdict, (int,)),
        Reduced(PosixPath, (inner,)),
    ]
    torch.save({"state_dict": {"a": torch.zeros(1)}, "args": loaded}, tmp_path / "w.pth")
    read_pickle(tmp_path / "w.pth")
    assert not mark.exists()


def test_the_allowed_names_are_given_to_no_other_reader(tmp_path: Path) -> None:
    torch.save(argparse.Namespace(a=1), tmp_path / "w.pth")
    read_pickle(tmp_path / "w.pth")
    with pytest.raises(pickle.UnpicklingError, match=r"argparse.Namespace"):
        torch.load(tmp_path / "w.pth", weights_only=True)
