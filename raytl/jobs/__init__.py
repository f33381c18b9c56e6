"""Commands as jobs of a cluster: `pack` and `spec` describe a submission as values, `client` sends it with Ray Jobs."""
