"""Architectures of dual encoders: the sizes and choices that distinguish checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from interlace.errors import InterlaceError

Activation = Literal["quick_gelu", "gelu", "gelu_tanh"]
ImagePool = Literal["cls", "map", "mean"]
TextPool = Literal["argmax", "eos", "last", "first"]


@dataclass(frozen=True, kw_only=True)
class TowerSpec:
    """A stack of pre-LayerNorm transformer blocks and its projection.

    Attributes:
        width: D, the width of the residual stream.
        depth: number of blocks.
        heads: attention heads per block; must divide ``width``.
        hidden: width of the MLP's hidden layer.
        activation: the MLP's nonlinearity.
        norm_eps: epsilon of every LayerNorm.
        projection: whether a matrix maps the pooled D values to the E-wide embedding. Without one
            (SigLIP's image tower) the embedding is the pooled vector, and D must equal E.
        projection_bias: whether that matrix comes with a bias (SigLIP's text tower).
    """

    width: int
    depth: int
    heads: int
    hidden: int
    activation: Activation = "gelu"
    norm_eps: float = 1e-5
    projection: bool = True
    projection_bias: bool = False

    def __post_init__(self) -> None:
        """Check that the heads divide the width.

        Raises:
            InterlaceError: if they do not.
        """
        if self.heads < 1 or self.width % self.heads:
            raise InterlaceError(
                f"{self.heads} attention heads do not divide a width of {self.width}"
            )
        if self.projection_bias and not self.projection:
            raise InterlaceError("projection_bias=True needs projection=True")


@dataclass(frozen=True, kw_only=True)
class ImageSpec(TowerSpec):
    """A vision transformer.

    Attributes:
        image_size: side of the square input in pixels.
        patch_size: side of a square patch in pixels.
        class_token: whether a learned token leads the sequence.
        ln_pre: whether a LayerNorm follows the embedding (CLIP has it, SigLIP does not).
        patch_bias: whether the patch embedding has a bias.
        pool: ``cls`` reads the class token, ``map`` attends to all positions with one learned
            query (SigLIP), ``mean`` averages the patch positions.
    """

    image_size: int
    patch_size: int
    class_token: bool = True
    ln_pre: bool = True
    patch_bias: bool = False
    pool: ImagePool = "cls"

    def __post_init__(self) -> None:
        """Check pooling against the class token.

        Raises:
            InterlaceError: if ``cls`` pooling is asked for without a class token.
        """
        super().__post_init__()
        if self.pool == "cls" and not self.class_token:
            raise InterlaceError("pool='cls' needs class_token=True")

    @property
    def patches(self) -> int:
        """Number of patches of one image."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def positions(self) -> int:
        """Length of the embedded sequence, class token included."""
        return self.patches + int(self.class_token)


@dataclass(frozen=True, kw_only=True)
class TextSpec(TowerSpec):
    """A text transformer.

    Attributes:
        vocab_size: rows of the token table.
        context_length: positions of the position table.
        causal: whether a position sees only itself and those before it.
        begins_with_token: whether position 0 holds a begin-of-text token (CLIP) or the first word
            already (SigLIP). Inserted tokens go after it.
        pool: which position is the text's feature: ``argmax`` that of the largest id (OpenAI's
            end-of-text is the last entry of the vocabulary), ``eos`` the first ``eos_id``,
            ``last`` the last position, ``first`` the first.
        eos_id: id of the end-of-text token; needed by ``eos``.
    """

    vocab_size: int
    context_length: int
    causal: bool = True
    begins_with_token: bool = True
    pool: TextPool = "argmax"
    eos_id: int | None = None

    def __post_init__(self) -> None:
        """Check pooling against the end-of-text id.

        Raises:
            InterlaceError: if ``eos`` pooling comes without an ``eos_id``.
        """
        super().__post_init__()
        if self.pool == "eos" and self.eos_id is None:
            raise InterlaceError("pool='eos' needs eos_id, the id of the end-of-text token")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A dual encoder: two towers that end in one E-wide embedding.

    Attributes:
        image: the image tower.
        text: the text tower.
        embed_dim: E, the width both towers project to.
        logit_bias: whether the logits carry a learned bias (SigLIP's sigmoid loss).
    """

    image: ImageSpec
    text: TextSpec
    embed_dim: int
    logit_bias: bool = False

    def __post_init__(self) -> None:
        """Check that a tower without a projection already has the embedding's width.

        Raises:
            InterlaceError: if it has not.
        """
        for name, tower in (("image", self.image), ("text", self.text)):
            if not tower.projection and tower.width != self.embed_dim:
                raise InterlaceError(
                    f"the {name} tower is {tower.width} wide and has no projection, "
                    f"so embed_dim must be {tower.width}, not {self.embed_dim}"
                )


#: OpenAI's ViT-B/16, the size that papers of this field report.
VIT_B_16 = Spec(
    image=ImageSpec(
        width=768,
        depth=12,
        heads=12,
        hidden=3072,
        activation="quick_gelu",
        image_size=224,
        patch_size=16,
    ),
    text=TextSpec(
        width=512,
        depth=12,
        heads=8,
        hidden=2048,
        activation="quick_gelu",
        vocab_size=49408,
        context_length=77,
    ),
    embed_dim=512,
)
