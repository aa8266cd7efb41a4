"""Experiments: a grid of independent fits, where it runs, and what its cells amount to."""
