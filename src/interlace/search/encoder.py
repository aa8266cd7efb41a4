"""The model that makes the vectors, plain or adapted, and the hash that identifies it.

Shapes: B images, E embedding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from interlace._util.text import printable
from interlace.adaptation.header import HEADER
from interlace.adaptation.load import load_adapted
from interlace.adaptation.model import AdaptedModel
from interlace.backbone.dual import DualEncoder
from interlace.backbone.load import load
from interlace.data.readers.walk import is_text
from interlace.errors import InterlaceError
from interlace.methods.base import Method
from interlace.methods.inference import NotFinite, without_length
from interlace.train.optim import resolve_device

Model = DualEncoder | AdaptedModel | Path | str


@dataclass(frozen=True)
class ModelId:
    """Which model made a set of vectors.

    Attributes:
        kind: ``model`` for what :func:`interlace.load` takes, ``run`` for a saved adapted model.
        source: its name or path; empty where it was never saved.
        hash: over the backbone's weights, its image constants, and what a method trained.
        dim: E, the length of a vector.
    """

    kind: Literal["model", "run"]
    source: str
    hash: str
    dim: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelId:
        """Reverse :meth:`to_dict`.

        Raises:
            KeyError: if a field is missing.
            ValueError: if one is of another kind than :meth:`to_dict` gives.
        """
        kind, source, digest, dim = (values[name] for name in ("kind", "source", "hash", "dim"))
        texts = isinstance(source, str) and isinstance(digest, str) and "\0" not in source
        whole = isinstance(dim, int) and not isinstance(dim, bool) and 0 < dim <= 1 << 20
        if kind not in ("model", "run") or not texts or not whole:
            raise ValueError("no identity of a model")
        return cls(kind, source, digest, dim)

    def __str__(self) -> str:
        return f"{self.source or 'a model that was not saved'} ({self.hash})"


class Encoder:
    """Turns images and texts into vectors of length 1.

    Args:
        model: a plain or an adapted model, a name that :func:`interlace.load` takes, or the folder
            of an adapted model.
        device: ``auto``, ``cpu``, ``cuda``, ...; where the model was named, it is moved there. A
            model that is given stays where it is.

    Raises:
        InterlaceError: if the model cannot be loaded, or its method changes no vector.
    """

    def __init__(self, model: Model, device: str = "auto") -> None:
        source = ""
        if isinstance(model, str | Path):
            place = resolve_device(device)  # before anything is fetched for it
            folder = Path(model).expanduser()
            if (folder / HEADER).is_file():
                source = str(folder.resolve())
                model = load_adapted(folder, device=device)
            else:
                model = load(model).to(place)
        self._kind: Literal["model", "run"] = "run" if isinstance(model, AdaptedModel) else "model"
        self.method: Method | None = None
        self._arguments: dict[str, Any] = {}
        if isinstance(model, AdaptedModel):
            self.clip, self.method = model.clip, model.method.eval()
            self._arguments = dict(model.config.arguments)
            self._source = source
            _refuse_feature_method(self.method)
        else:
            self.clip = model
            self._source = model.source

    @cached_property
    def id(self) -> ModelId:
        """Which model this is."""
        digest = hashlib.sha256(self.clip.fingerprint().encode())
        digest.update(_json(self.clip.preprocess.to_dict()))
        if self.method is not None:
            digest.update(_json([self.method.key, self._arguments]))
            for name, tensor in sorted(self.method.state_dict().items()):
                digest.update(f"{name}{tuple(tensor.shape)}".encode())
                values = tensor.detach().to("cpu", torch.float32).contiguous()
                digest.update(values.numpy().tobytes())
        dim = self.clip.spec.embed_dim
        return ModelId(self._kind, self._source, digest.hexdigest()[:16], dim)

    def check(self) -> None:
        """Check that the model gives vectors, before anything is written or replaced.

        Raises:
            NotFinite: if it gives none for a grey image.
        """
        grey = Image.new("RGB", (32, 32), (128, 128, 128))
        try:
            self._vectors(self.clip.preprocess.eval_transform()(grey)[None])
        except NotFinite as error:
            raise NotFinite("image", error.index, "a plain grey one") from None

    def images(self, images: Tensor) -> np.ndarray:
        """Return the vectors [B, E] of preprocessed images [B, 3, H, W].

        Raises:
            NotFinite: if one of them has no vector of length 1.
        """
        return self._vectors(images)

    def named_images(self, images: Tensor, names: Sequence[str]) -> np.ndarray:
        """Return what :meth:`images` does; errors name the image, one of B ``names``."""
        try:
            return self.images(images)
        except NotFinite as error:
            raise NotFinite("image", error.index, names[error.index]) from None

    @torch.no_grad()
    def _vectors(self, images: Tensor) -> np.ndarray:
        there = images.to(self.clip.device)
        if self.method is None:
            features = self.clip.encode_image(there)
        else:
            features = self.method.encode_image(there, edits=self._edits).features
        return _of_length_1(features, "image")

    @torch.no_grad()
    def text(self, text: str) -> np.ndarray:
        """Return the vector [E] of a text, which is taken as it is: no template is put around it.

        Raises:
            InterlaceError: if the text is empty or too long, the model has no tokenizer, or its
                vector has no length.
        """
        if not text.strip():
            raise InterlaceError("an empty query: give words, or an image")
        if not is_text(text):
            raise InterlaceError(f"{printable(text[:200])}: not valid text (UTF-8)")
        if self.method is None:
            features = self.clip.encode_text(self.clip.prompts([text], "{}").ids)
        else:
            prompts = self.method.prompts([text], "{}")
            features = self.method.encode_text(prompts, edits=self._edits).features
        vector: np.ndarray = _of_length_1(features, "text", text[:200])[0]
        return vector

    @cached_property
    def _edits(self) -> Any:
        """The method's edits, which are the same for every input."""
        return None if self.method is None else self.method.edits()


def _of_length_1(features: Tensor, what: str, name: str = "") -> np.ndarray:
    if (wrong := without_length(features)) is not None:
        raise NotFinite(what, wrong, name)
    return F.normalize(features.float(), dim=-1).cpu().numpy()


def _refuse_feature_method(method: Method) -> None:
    if method.uses_frozen_features:
        source = method.clip.source
        raise InterlaceError(
            f"{method.key} changes no vector, only how vectors are compared: use the plain "
            f"model{f', {source}' if source else ''}"
        )


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()
