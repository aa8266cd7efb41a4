"""Protocols decide which classes to fit and to score, and know no method by name."""
