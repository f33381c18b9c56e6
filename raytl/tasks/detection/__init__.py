"""Detection: the objects of an image as boxes."""
