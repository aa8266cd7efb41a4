"""Fitting a method: one loop that any method uses."""
