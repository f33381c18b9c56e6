"""Multi-label classification: the classes or attributes that are present in an image."""
