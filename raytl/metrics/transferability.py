"""Scores of frozen features that need no training: LogME (You et al. 2021) and the H-score (Bao et al. 2019).

Higher is better. They compare networks on one set of images; their values mean nothing across sets.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics.confusion import Floats

_STEPS, _TOLERANCE = 100, 1e-6
_SMALL = 1e-5
"""Keeps the precisions finite for labels that are fitted exactly, as in the published code."""
_RANK = 1e-12


def log_evidence(features: ArrayLike, classes: ArrayLike) -> float:
    """Return LogME: the log evidence per image of linear models from `features (n, d)` to each class, on average.

    One Bayesian linear regression for each class present, from the features to 1 or 0; its prior and noise precisions
    maximize the evidence by MacKay's fixed point (You et al. 2021). Where images are fewer than features, the published
    code counts directions without data in the evidence (`D / 2 log alpha`); here they cancel, as in the exact evidence.
    """
    wanted = _one_hot(classes)
    energies, squares = _spectrum(np.asarray(features, dtype=np.float64), wanted)
    rest = np.maximum((wanted**2).sum(axis=0) - squares.sum(axis=0), 0.0)
    count, rank = len(wanted), len(energies)
    alpha, beta = np.ones(wanted.shape[1]), np.ones(wanted.shape[1])
    for _ in range(_STEPS):
        ratio = alpha / beta
        effective = (energies[:, None] / (energies[:, None] + ratio)).sum(axis=0)
        size = (energies[:, None] * squares / (energies[:, None] + ratio) ** 2).sum(axis=0)
        residual = (squares / (1 + energies[:, None] / ratio) ** 2).sum(axis=0) + rest
        alpha, beta = effective / (size + _SMALL), (count - effective) / (residual + _SMALL)
        if np.all(np.abs(alpha / beta - ratio) <= _TOLERANCE * ratio):
            break
    curvature = np.log(alpha + beta * energies[:, None]).sum(axis=0)
    evidence = rank * np.log(alpha) + count * np.log(beta) - curvature - beta * residual - alpha * size
    return float(np.mean(evidence / count - math.log(2 * math.pi)) / 2)


def h_score(features: ArrayLike, classes: ArrayLike, shrinkage: float | None = None) -> float:
    """Return the H-score: the variance of the class means of `features (n, d)`, relative to that of the features.

    It is the trace of the inverse covariance of the features times the covariance of their class means: between 0 and the
    number of classes less one. `shrinkage` moves both covariances toward a multiple of the identity: 0 is the score of Bao
    et al. 2019, which is at its maximum for any features if images are fewer than features; None takes the shrinkage of
    Ledoit & Wolf 2004, as Ibrahim et al. 2022 propose.
    """
    table, wanted = np.asarray(features, dtype=np.float64), _one_hot(classes)
    centered = table - table.mean(axis=0)
    covariance = centered.T @ centered / len(table)
    amount = ledoit_wolf(centered, covariance) if shrinkage is None else shrinkage
    width = len(covariance)
    shrunk = (1 - amount) * covariance + amount * np.trace(covariance) / width * np.eye(width)
    means = (wanted.T @ centered) / wanted.sum(axis=0)[:, None]
    between = (1 - amount) * (means.T * wanted.mean(axis=0)) @ means
    return float((np.linalg.pinv(shrunk, hermitian=True) * between).sum())


def ledoit_wolf(centered: Floats, covariance: Floats) -> float:
    """Return the shrinkage of `covariance (d, d)` of `centered (n, d)` with the lowest expected error (Ledoit & Wolf 2004)."""
    count, width = centered.shape
    scale = np.trace(covariance) / width
    distance = float((covariance**2).sum() - width * scale**2)
    noise = float(((centered**2).sum(axis=1) ** 2).sum() / count - (covariance**2).sum()) / count
    return min(1.0, max(0.0, noise / distance)) if distance > 0 else 1.0


def _one_hot(classes: ArrayLike) -> Floats:
    """Return `(n, classes present) float64`."""
    present, places = np.unique(np.asarray(classes, dtype=np.int64), return_inverse=True)
    return np.asarray(np.eye(len(present))[places])


def _spectrum(features: Floats, wanted: Floats) -> tuple[Floats, Floats]:
    """Return the squared singular values of the features, `(k,)`, and the squared projections of `wanted` on their left
    singular vectors, `(k, classes)`."""
    count, width = features.shape
    if count <= width:
        energies, vectors = np.linalg.eigh(features @ features.T)
        keep = _kept(energies)
        return energies[keep], (vectors[:, keep].T @ wanted) ** 2
    energies, vectors = np.linalg.eigh(features.T @ features)
    keep = _kept(energies)
    projected = vectors[:, keep].T @ (features.T @ wanted)
    return energies[keep], projected**2 / energies[keep][:, None]


def _kept(energies: Floats) -> NDArray[np.bool_]:
    return np.asarray(energies > _RANK * max(float(energies.max()), np.finfo(np.float64).tiny))
