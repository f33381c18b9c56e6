"""Keys of FixMatch, which learns from images without labels (`few.method: fixmatch`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from raytl.config.section import Fraction, Section

FIXMATCH = "fixmatch"
"""The value of `few.method`."""


class FixMatchConfig(Section):
    """FixMatch (Sohn et al. 2020): the network learns, on strongly augmented images of data.unlabelled, the class that it gives to the same image weakly augmented, if it is sure of it. Each step costs about 1 + 2 ratio times that of supervised training."""

    ratio: Annotated[float, Field(gt=0, le=16)] = 2.0
    """Unlabelled images for each labelled one of a batch. The paper has 7."""
    threshold: Fraction = 0.95
    """Least probability of the class with which an image is learned; lower for classes of which the network is less sure so far (FreeMatch, Wang et al. 2023)."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of its loss beside that of the labels."""
