"""Engines: where the cells of a grid run."""
