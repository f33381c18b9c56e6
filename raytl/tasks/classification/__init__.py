"""Single-label classification: one class for each image."""

from raytl.tasks.classification.task import Classification

__all__ = ["TASK"]

TASK = Classification()
