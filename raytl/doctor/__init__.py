"""Diagnostics of the machines, the cluster and the buckets of a run: measured on each node, judged by pure functions."""
