"""The adapt section of the experiment file: unlabelled images of the domain where the model will be used."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raytl.config.section import Fraction, Section

IN_TRAINING = ("coral", "mmd", "dann")
"""The values of `adapt.method` that add a loss to each step of training."""
ADABN = "adabn"
TENT = "tent"
AFTER_TRAINING = (ADABN, TENT)
"""The values of `adapt.method` that change the normalization of the trained network."""


class TentConfig(Section):
    """Entropy minimization (TENT, Wang et al. 2021): the affine parameters of the normalization layers learn to make the answers on images of the target certain."""

    lr: Annotated[float, Field(gt=0, le=1)] = 0.0001
    """Rate of Adam, whose steps take 64 images each. At the paper's 0.001, networks of a few hundred labels end with one answer for all images."""
    passes: Annotated[int, Field(ge=1, le=100)] = 1
    """Passes over the target's images, at most 4,096 of them."""


class StyleConfig(Section):
    """Fourier style as an augmentation (FDA, Yang & Soatto 2020): a labelled image gets the low-frequency amplitudes of an image of adapt.target, so its colors and light, and keeps its phases, so its shapes."""

    probability: Fraction = 0.0
    """Fraction of the labelled images of each step that get the style of a target image, another one in each epoch. 0 = none."""
    beta: Annotated[float, Field(gt=0, lt=0.5)] = 0.02
    """Highest frequency whose amplitude is replaced, as a fraction of the image's shorter side, rounded down; 0 replaces the mean color alone. The paper has 0.01 to 0.09 on images of 1024 px; on small ones the higher values paint blotches over shapes."""


class AdaptConfig(Section):
    """Adaptation to another domain, whose images have no labels. It may harm: compare on labelled images of the target."""

    target: str | None = None
    """Images of the target domain: a folder or s3:// prefix (images at any depth; names of folders are ignored), a .zip or .tar, or a manifest with a column path. Images in folders whose names say test (test/, Testing/, at any depth), and rows of a manifest whose split is test, are never used: they are for a test. Copies of test images are an error."""
    method: Literal["none", "centroids", "adabn_centroids", "coral", "mmd", "dann", "adabn", "tent", "auto"] = "none"
    """centroids = the target's images join the training images, each with the class whose centroid is nearest in frozen features (SHOT, Liang et al. 2020). adabn_centroids = the same in features for which BatchNorm has the statistics of each image's own domain (AdaBN, Li et al. 2016). auto = the one of them whose labels, taught alone, tell the labelled images best; none, unless it is better beyond noise. In each step of training: as many target images as labelled ones, whose features are drawn to those of the labelled images: coral = by their covariances (Sun & Saenko 2016), mmd = by the maximum mean discrepancy (Long et al. 2015), dann = by a discriminator of the domains (Ganin et al. 2016). After training, if it is better on validation: adabn = BatchNorm gets the statistics of the target; tent = the same, then its affine parameters learn to make the answers on the target certain (Wang et al. 2021)."""
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.5
    """With adabn_centroids, adabn and tent, the part of a domain's own statistics in a mixture with those of the network (alpha-BN, You et al. 2021). 1 = its own alone."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """With coral, mmd or dann, the weight of its loss beside that of the labels."""
    tent: TentConfig = TentConfig()
    """How tent learns."""
    style: StyleConfig = StyleConfig()
    """The style of the target on labelled images; beside any method, or without one."""
