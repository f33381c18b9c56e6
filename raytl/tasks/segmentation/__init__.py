"""Semantic segmentation: a class for each pixel."""

from raytl.tasks.segmentation.task import Segmentation

__all__ = ["TASK"]

TASK = Segmentation()
