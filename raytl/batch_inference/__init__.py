"""Predict the photos of a prefix, a manifest or a folder in parts, with Ray Data: resumable, and equal to a local `predict`."""
