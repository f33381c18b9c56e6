"""Tint the photos of each site, where each site has mostly one class, and measure the gap that a random split hides."""

from __future__ import annotations

import numpy as np
import torch

from experiments.simulations.photos import Photos, features, tinted
from raytl.models.backbone import Backbone
from raytl.models.group_gap import GroupGap, group_gap

SITES = 4
OWN = 0.7
"""The fraction of a class's photos that are of its own site."""


def tint_gap(photos: Photos, network: Backbone, strength: float, own: float, seed: int, images: int = 240) -> GroupGap:
    """Return the gap between random folds and whole sites, each with a tint of this strength.

    The fraction `own` of class c is of site c modulo `SITES`; all other photos are of random sites.
    """
    sample = photos.shuffled(seed)
    sample = sample.of(np.arange(min(images, len(sample))))
    rng = np.random.default_rng(seed)
    at_home = rng.random(len(sample)) < own
    sites = np.where(at_home, sample.targets % SITES, rng.integers(0, SITES, len(sample)))
    table = features(network, tinted(sample.views, sites, strength, seed))
    found = group_gap(table, sample.targets, [f"site {i}" for i in sites], "site", seed=seed)
    assert found is not None, "several sites, with photos of the same classes"
    return found


def drawn_gap(tint: float, sites: int = SITES, per_site: int = 30, seed: int = 0, resamples: int = 200) -> GroupGap:
    """Return the gap for drawn photos of 24 x 24 pixels whose class is a weak stripe, from their color and 12 patches."""
    rng = np.random.default_rng(seed)
    n = sites * per_site
    site = np.repeat(np.arange(sites), per_site)
    label = np.where(rng.random(n) < OWN, site % 4, rng.integers(0, 4, n))
    images = rng.normal(120, 25, (n, 24, 24, 3))
    for k in range(4):
        images[label == k, 6 * k : 6 * k + 6] += 5
    images += tint * rng.normal(size=(sites, 1, 1, 3))[site]
    patches = images.mean(axis=3).reshape(n, 4, 6, 3, 8).mean(axis=(2, 4)).reshape(n, 12)
    table = torch.from_numpy(np.concatenate([images.mean(axis=(1, 2)), patches], axis=1)).float()
    found = group_gap(table, label, [f"site {i}" for i in site], "site", resamples=resamples)
    assert found is not None, "several sites, with photos of the same classes"
    return found


def meaningless_gap(seed: int) -> GroupGap:
    """Return the gap of groups that mean nothing."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, 100)
    table = torch.from_numpy(np.eye(3)[label] + rng.normal(size=(100, 3))).float()
    found = group_gap(table, label, [str(i) for i in rng.integers(0, 5, 100)], "site", resamples=50)
    assert found is not None, "several groups, with images of the same classes"
    return found
