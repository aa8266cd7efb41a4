"""Data sets known by name: embedded ones, standard benchmarks, and those that packages add."""

from interlace.data.datasets.extensions import Collection, DatasetReader, register

__all__ = ["Collection", "DatasetReader", "register"]
