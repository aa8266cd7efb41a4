"""Zero-shot classification: the frozen model itself, with nothing to train."""

from __future__ import annotations

from interlace.methods.base import Method


class ZeroShot(Method):
    """The frozen model: cosine similarity of an image with each class prompt.

    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021,
    https://arxiv.org/abs/2103.00020.
    """

    key = "zero_shot"
    summary = "The frozen model: cosine of image and class prompt (Radford et al. 2021)."
