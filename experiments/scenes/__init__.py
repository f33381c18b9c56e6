"""Drawn scenes with exact truth: shapes on textured backgrounds, the same data for every task and annotation format."""
