"""The adapt section of the experiment file: unlabelled images of the domain where the model will be used."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raytl.config.section import Section

AdaptMethod = Literal["none", "adabn", "centroids", "adabn_centroids", "coral", "mmd", "dann", "auto"]
IN_TRAINING = ("coral", "mmd", "dann")
"""The values of `adapt.method` that add a loss to each step."""


class AdaptConfig(Section):
    """Adaptation to another domain, whose training images have no labels. It may harm: compare on labelled images of the target."""

    target: str | None = None
    """Where images of the target domain are: a folder or s3:// prefix, an archive, or a manifest. Class folders are ignored for training. Images below test/, or with split test in a manifest, are never used; `raytl evaluate --split target` scores them where they lie in class folders."""
    labelled: str | None = None
    """A few labelled images of the target, in any layout of data.uri: with method auto they confirm what was chosen, or it stays none. They are not learned from; add them to data.uri for that."""
    method: AdaptMethod = "none"
    """adabn = BatchNorm has the statistics of the target's images, and keeps them in training (Li et al. 2016). centroids = the target's images are learned too, each with the class whose centroid is nearest (SHOT, Liang et al. 2020). adabn_centroids = both. auto = the one that a probe learned from the target's own pseudo-labels supports, if any does beyond noise. In each step of training, as many target images as labelled ones, whose features are drawn to those of the labelled images: coral = by their covariances (Sun & Saenko 2016), mmd = by the maximum mean discrepancy (Long et al. 2015), dann = by a discriminator of the domains (Ganin et al. 2016)."""
    alpha: Annotated[float, Field(gt=0, le=1)] = 1.0
    """With adabn, the part of the target's statistics in a mixture with those of the weights (alpha-BN, You et al. 2021). 1 = the target's alone."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """With coral, mmd or dann, the weight of its loss beside that of the labels."""
