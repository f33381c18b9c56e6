"""Instance segmentation: any number of objects in each image, as masks."""

from raytl.tasks.instances.task import TASK

__all__ = ["TASK"]
