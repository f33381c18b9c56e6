"""Self-supervised training before the run: a run of its own below it, whose network training then starts from."""
