"""What is wrong with the machines, the cluster and the buckets of a run: looked at on each node, judged by pure functions."""
