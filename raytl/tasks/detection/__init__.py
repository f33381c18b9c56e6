"""Object detection: any number of objects in each image, as boxes."""

from raytl.tasks.detection.task import TASK

__all__ = ["TASK"]
