"""Instance segmentation: the objects of an image as masks."""
