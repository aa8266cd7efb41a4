"""Adapt CLIP-like models from a few labelled images by coupling their two towers."""

from interlace import evaluation, methods
from interlace.adapted import Adapted, Prediction
from interlace.backbone.dual import DualEncoder
from interlace.backbone.edits import Affine, Edit, LowRank, Tokens
from interlace.backbone.load import load
from interlace.backbone.text import Prompts
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from interlace.export.bundle import load_adapted
from interlace.fitting import fit
from interlace.methods import available as list_methods

__version__ = "0.1.0"

__all__ = [
    "Adapted",
    "Affine",
    "DualEncoder",
    "Edit",
    "FewShotTask",
    "InterlaceError",
    "LowRank",
    "Prediction",
    "Prompts",
    "Tokens",
    "evaluation",
    "fit",
    "list_methods",
    "load",
    "load_adapted",
    "methods",
]
