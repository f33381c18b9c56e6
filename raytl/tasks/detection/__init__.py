"""Object detection: any number of objects in each image, as boxes."""

from raytl.tasks.detection.task import Detection

__all__ = ["TASK"]

TASK = Detection()
