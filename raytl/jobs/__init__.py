"""The same words, sent to a cluster: `pack` and `spec` say as values what would be submitted, `client` does it by Ray Jobs."""
