"""The work of solving a head, bounded: it grows with images x features x classes, and would take hours with thousands of classes."""

from __future__ import annotations

import math

MOST_WORK = 5e13
"""Multiply-adds of a solution, at most about: 18 minutes at 23 GMAC/s on each of two cores in float64, half of that in float32."""
MOST_EVALUATIONS, LEAST_EVALUATIONS = 625, 12
"""Evaluations of the loss for a penalty. Each starts from the solution of the penalty before, so 12 already end near the optimum."""
_PRODUCTS = 2
"""Products of images and weights in an evaluation: the logits and the gradient."""


def evaluations(images: int, features: int, classes: int, penalties: int) -> int:
    """Return the most evaluations of the loss for each of `penalties`."""
    affordable = MOST_WORK / (_PRODUCTS * images * features * classes * penalties)
    return int(min(max(affordable, LEAST_EVALUATIONS), MOST_EVALUATIONS))


def most_images(features: int, classes: int, penalties: int) -> int:
    """Return the most images on which a head can be solved with the least evaluations."""
    return int(MOST_WORK / (_PRODUCTS * features * classes * penalties * LEAST_EVALUATIONS))


def most_classes(features: int, penalties: int) -> int:
    """Return the most classes of which each can have an image."""
    return math.isqrt(int(MOST_WORK / (_PRODUCTS * features * penalties * LEAST_EVALUATIONS)))
