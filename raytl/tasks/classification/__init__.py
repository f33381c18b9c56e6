"""Single-label classification: one class for each image."""
