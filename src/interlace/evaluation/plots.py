"""The pictures of an evaluation, all written as PNG without touching pyplot's state."""

from interlace.evaluation.confusion_plot import confusion_png
from interlace.evaluation.gain_plot import Example, GainRow, gain_png
from interlace.evaluation.hits_plot import HitRow, hits_png

__all__ = ["Example", "GainRow", "HitRow", "confusion_png", "gain_png", "hits_png"]
