"""The adapt section of the experiment file: unlabelled images of the domain where the model will be used."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raytl.config.section import Section


class AdaptConfig(Section):
    """Adaptation to another domain, whose images have no labels. It may harm: compare on labelled images of the target."""

    target: str | None = None
    """Images of the target domain: a folder or s3:// prefix (images at any depth; names of folders are ignored), a .zip or .tar, or a manifest with a column path. Images below test/ are never used: they are for a test. Copies of test images are an error."""
    method: Literal["none", "centroids", "adabn_centroids", "auto"] = "none"
    """centroids = the target's images join the training images, each with the class whose centroid is nearest in frozen features (SHOT, Liang et al. 2020). adabn_centroids = the same in features for which BatchNorm has the statistics of each image's own domain (AdaBN, Li et al. 2016). auto = the one of them whose labels, taught alone, tell the labelled images best; none, unless it is better beyond noise."""
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.5
    """With adabn_centroids, the part of a domain's own statistics in a mixture with those of the pretrained network (alpha-BN, You et al. 2021). 1 = its own alone."""
