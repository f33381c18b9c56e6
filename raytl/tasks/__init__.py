"""One file per task: its loss, its validation metrics, and the comparison of two checkpoints."""
