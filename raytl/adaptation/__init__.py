"""Unsupervised domain adaptation on arrays and modules: statistics, alignment, pseudo-labels, and how to choose among them."""
