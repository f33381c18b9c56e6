"""Sweeps: Optuna suggests trials, Ray Tune runs them, and the best one is repeated, retrained and reported."""
