"""Instance segmentation: any number of objects in each image, as masks."""

from raytl.tasks.instances.task import InstanceSegmentation

__all__ = ["TASK"]

TASK = InstanceSegmentation()
