"""The adapt section of the experiment file: unlabelled images of the domain where the model will be used."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raytl.config.section import Section

IN_TRAINING = ("coral", "mmd", "dann")
"""The values of `adapt.method` that add a loss to each step of training."""


class AdaptConfig(Section):
    """Adaptation to another domain, whose images have no labels. It may harm: compare on labelled images of the target."""

    target: str | None = None
    """Images of the target domain: a folder or s3:// prefix (images at any depth; names of folders are ignored), a .zip or .tar, or a manifest with a column path. Images in folders whose names say test (test/, Testing/, at any depth), and rows of a manifest whose split is test, are never used: they are for a test. Copies of test images are an error."""
    method: Literal["none", "centroids", "adabn_centroids", "coral", "mmd", "dann", "auto"] = "none"
    """centroids = the target's images join the training images, each with the class whose centroid is nearest in frozen features (SHOT, Liang et al. 2020). adabn_centroids = the same in features for which BatchNorm has the statistics of each image's own domain (AdaBN, Li et al. 2016). auto = the one of them whose labels, taught alone, tell the labelled images best; none, unless it is better beyond noise. In each step of training: as many target images as labelled ones, whose features are drawn to those of the labelled images: coral = by their covariances (Sun & Saenko 2016), mmd = by the maximum mean discrepancy (Long et al. 2015), dann = by a discriminator of the domains (Ganin et al. 2016)."""
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.5
    """With adabn_centroids, the part of a domain's own statistics in a mixture with those of the pretrained network (alpha-BN, You et al. 2021). 1 = its own alone."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """With coral, mmd or dann, the weight of its loss beside that of the labels."""
