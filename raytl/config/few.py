"""The few section of the experiment file: labels for images that have none, from few labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raytl.config.fixmatch import FixMatchConfig
from raytl.config.section import Fraction, Section


class FewConfig(Section):
    """Labels that a method gives to images of data.unlabelled, which then are training images. Each method can harm."""

    method: Literal["none", "propagate", "pseudo", "fixmatch", "auto"] = "none"
    """propagate = labels spread over a graph of nearest neighbours in the features of the pretrained network (Zhou et al. 2004). pseudo = a classifier on these features labels the images that it is most sure of, in two rounds. fixmatch = images are learned in each step of training, see few.fixmatch. auto = the one that is better than none in cross-validation on the labelled images, beyond noise; else none."""
    fraction: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Fraction of the images that are added, the most certain of each class first, so that no class crowds out another."""
    min_confidence: Fraction = 0.0
    """Leave out images whose label has a lower probability than this. If none is left, few.method is an error, and auto chooses none."""
    fixmatch: FixMatchConfig = FixMatchConfig()
    """How fixmatch learns."""
