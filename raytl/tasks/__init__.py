"""One file a task: its loss, its validation metrics, and what makes one checkpoint better than another."""
