"""The schema's own values: epochs in words, and frozen sections."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from raytl.config.schema import DataConfig, OptimConfig, TransferConfig


@pytest.mark.parametrize(("text", "epochs"), [("1 epoch", 1), ("2 epochs", 2), (" 3 ", 3), (4, 4), ("1.0 epoch", 1)])
def test_epochs_may_be_written_in_words(text: str | int, epochs: int) -> None:
    assert TransferConfig.model_validate({"head_first": text}).head_first == epochs


def test_fractions_of_epochs_are_for_keys_that_take_them() -> None:
    assert OptimConfig.model_validate({"warmup": "0.5 epochs"}).warmup == 0.5
    with pytest.raises(ValidationError, match="fractional part"):
        TransferConfig.model_validate({"head_first": "0.5 epochs"})


def test_other_words_are_no_epochs() -> None:
    with pytest.raises(ValidationError, match="'a while' is not a number of epochs; write 1, '1 epoch' or '2 epochs'"):
        OptimConfig.model_validate({"warmup": "a while"})


def test_sections_are_frozen() -> None:
    data = DataConfig(uri="x")
    with pytest.raises(ValidationError, match="frozen"):
        data.uri = "y"


def test_not_a_number_is_not_a_number() -> None:
    with pytest.raises(ValidationError, match="finite number"):
        OptimConfig.model_validate({"lr": float("nan")})
