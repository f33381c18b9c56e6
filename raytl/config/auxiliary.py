"""The auxiliary section of the experiment file: what the network learns beside the labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raytl.config.section import Section

UNCERTAINTY = "uncertainty"
"""The value of `auxiliary.weight` that learns the weights."""
ROTATION = "rotation"
"""The name of the head that learns turns."""


class AuxiliaryConfig(Section):
    """Auxiliary heads, which learn from the features that enter the network's head (multi-task learning). They can harm: compare with a run without them. They are not part of the saved model."""

    columns: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(default=[], max_length=20)
    """Columns of the manifest, such as camera or site: a linear head for each learns its value. An image whose cell is empty does not count. They need not be in data.columns."""
    weight: Annotated[float, Field(ge=0)] | Literal["uncertainty"] = 0.3
    """Weight of the loss of each column beside that of the labels; 0 = none. uncertainty = the weights of the labels and of every head are learned (Kendall et al. 2018)."""
    rotation: Annotated[float, Field(ge=0)] = 0.0
    """Weight of a head that learns by how many quarter turns a copy of each labelled image was turned (Gidaris et al. 2018); 0 = off. The copies pass through the network too, which about doubles the time of a step. With auxiliary.weight: uncertainty, the weight that it begins with."""
