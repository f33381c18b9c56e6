"""Multi-label classification: the classes or attributes that are present in an image."""

from raytl.tasks.multilabel.task import MultiLabel

__all__ = ["TASK"]

TASK = MultiLabel()
