"""Select the state dict of a file and strip its prefix: values, no files."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from raytl.models.state_dicts import candidates_in, take

WANTED = {"stem.weight": torch.Size([2]), "stages.0.weight": torch.Size([3]), "stages.1.weight": torch.Size([4])}


def tensors(value: float = 1.0) -> dict[str, Tensor]:
    return {name: torch.full(shape, value) for name, shape in WANTED.items()}


def taken(raw: Mapping[str, object]) -> tuple[str, str, float]:
    """The keys, the prefix and the value of what is taken."""
    selected = take(candidates_in(raw), WANTED, lambda state: state)
    assert set(WANTED) <= set(selected.tensors)
    return selected.candidate.keys, selected.prefix, selected.tensors["stem.weight"][0].item()


def under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize("average", ["state_dict_ema", "model_ema", "ema", "ema_model", "swa_state"])
def test_an_average_goes_before_the_weights_wherever_it_stands(average: str) -> None:
    assert taken({"model": tensors(0), average: tensors(1)}) == (average, "", 1)
    assert taken({average: tensors(1), "model": tensors(0)}) == (average, "", 1)
    assert taken(under("model.", tensors(0)) | under(f"{average}.", tensors(1))) == ("", f"{average}.", 1)


def test_of_two_that_fit_alike_the_first_is_taken() -> None:
    assert taken({"student": tensors(1), "teacher": tensors(0)}) == ("student", "", 1)


def test_what_fits_goes_before_an_average_that_does_not() -> None:
    assert taken({"ema": {"stem.weight": torch.zeros(2)}, "net": tensors(1)}) == ("net", "", 1)


def test_optimizer_states_and_metrics_are_not_taken() -> None:
    optimizer = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
    assert taken({"best": torch.tensor(1.0), "optimizer": optimizer, "net": tensors(1)}) == ("net", "", 1)
    assert [selected.keys for selected in candidates_in({"optimizer": optimizer, "net": tensors()})] == ["net"]


def test_a_mapping_that_holds_itself_is_looked_through_once() -> None:
    looped: dict[str, object] = {"state_dict": tensors(1)}
    looped["self"] = looped
    assert taken(looped) == ("state_dict", "", 1)


def test_names_that_the_library_renames_are_found_behind_a_prefix() -> None:
    old = {name.replace("stages.", "layers."): tensor for name, tensor in tensors().items()}

    def adapt(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name.replace("layers.", "stages."): tensor for name, tensor in state.items()}

    selected = take(candidates_in({"state_dict": under("module.", old)}), WANTED, adapt)
    assert (selected.prefix, set(selected.tensors)) == ("module.", set(old))


def test_of_another_architecture_the_largest_is_taken_as_it_is() -> None:
    foreign = {f"module.other{i}.weight": torch.zeros(2) for i in range(5)}
    selected = take(candidates_in({"best": torch.zeros(1), "state_dict": foreign}), WANTED, lambda state: state)
    assert (selected.candidate.keys, selected.prefix, len(selected.tensors)) == ("state_dict", "", 5)


def test_what_was_taken_is_said_in_a_line() -> None:
    def text(raw: Mapping[str, object]) -> str:
        return take(candidates_in(raw), WANTED, lambda state: state).text

    assert text(tensors()) == ""
    assert text({"model_ema": under("module.", tensors())}) == (
        "took 'model_ema' without the prefix 'module.' (3 tensors)"
    )
    more = {f"n{i}": i for i in range(6)}
    assert text({**tensors(), **more}) == "took its tensors (3 tensors); left out n0, n1, n2, n3 and 2 more"
