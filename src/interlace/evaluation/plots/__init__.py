"""The pictures of an evaluation, all written as PNG without touching pyplot's state."""

from interlace.evaluation.plots.confusion import confusion_png
from interlace.evaluation.plots.gain import Example, GainRow, gain_png
from interlace.evaluation.plots.hits import HitRow, hits_png

__all__ = ["Example", "GainRow", "HitRow", "confusion_png", "gain_png", "hits_png"]
