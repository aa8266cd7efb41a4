"""Adaptation: from a model and a task to an adapted model, and what is kept of it."""
