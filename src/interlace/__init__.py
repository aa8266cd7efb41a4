"""Adapt CLIP-like models from a few labelled images by coupling their two towers."""

from typing import TYPE_CHECKING

from interlace._util.on_demand import on_demand

if TYPE_CHECKING:
    from interlace import evaluation, methods
    from interlace.adaptation.fit import fit
    from interlace.adaptation.load import load_adapted
    from interlace.adaptation.merge import NotMergeable
    from interlace.adaptation.model import AdaptedModel
    from interlace.adaptation.model import AdaptedModel as Adapted
    from interlace.adaptation.prediction import Prediction
    from interlace.backbone.dual import DualEncoder
    from interlace.backbone.edits import Affine, Edit, LowRank, Tokens
    from interlace.backbone.load import load
    from interlace.backbone.prompts import Prompts
    from interlace.data.task import FewShotTask
    from interlace.errors import InterlaceError
    from interlace.experiments.compare import compare
    from interlace.methods import available as list_methods
    from interlace.protocols import evaluate
    from interlace.search.gallery import Gallery
    from interlace.train.callbacks import Callback

__version__ = "0.1.0"

__all__ = [
    "Adapted",
    "AdaptedModel",
    "Affine",
    "Callback",
    "DualEncoder",
    "Edit",
    "FewShotTask",
    "Gallery",
    "InterlaceError",
    "LowRank",
    "NotMergeable",
    "Prediction",
    "Prompts",
    "Tokens",
    "compare",
    "evaluate",
    "evaluation",
    "fit",
    "list_methods",
    "load",
    "load_adapted",
    "methods",
]

# Importing torch, torchvision and open_clip takes seconds; `interlace --help` needs none of them.
_HOMES = {
    "Adapted": "adaptation.model:AdaptedModel",
    "AdaptedModel": "adaptation.model",
    "Affine": "backbone.edits",
    "Callback": "train.callbacks",
    "DualEncoder": "backbone.dual",
    "Edit": "backbone.edits",
    "FewShotTask": "data.task",
    "Gallery": "search.gallery",
    "InterlaceError": "errors",
    "LowRank": "backbone.edits",
    "NotMergeable": "adaptation.merge",
    "Prediction": "adaptation.prediction",
    "Prompts": "backbone.prompts",
    "Tokens": "backbone.edits",
    "compare": "experiments.compare",
    "evaluate": "protocols",
    "evaluation": "evaluation:",
    "fit": "adaptation.fit",
    "list_methods": "methods:available",
    "load": "backbone.load",
    "load_adapted": "adaptation.load",
    "methods": "methods:",
}


__getattr__ = on_demand(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
