"""Checkpoints of every family: found, read, checked and written."""
