"""Semantic segmentation: a class for each pixel."""

from raytl.tasks.segmentation.task import TASK

__all__ = ["TASK"]
