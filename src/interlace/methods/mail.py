"""MAIL and MAIL++: scales and shifts at every site of both towers, coupled by low-rank bridges.

Shapes: D width of a site, E embedding, R rank of a bridge, M width of a meta agent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, cast

import torch
from torch import nn

from interlace._util.schema import Range
from interlace.backbone.dual import DualEncoder
from interlace.backbone.edits import BLOCK_SITES, Affine, Edit
from interlace.methods.base import Method, Rank, Width
from interlace.methods.registry import register


class AgentPair(nn.Module):
    """One site's agents: a scale and a shift for each tower, the image's scale bridged from text.

    The image's scale is ``image_scale + text_scale @ bridge_down @ bridge_up``.

    Args:
        text_width: D of the site in the text tower.
        image_width: D of the site in the image tower.
        rank: R; 0 leaves the bridge out.
    """

    bridge_down: nn.Parameter | None
    bridge_up: nn.Parameter | None

    def __init__(self, text_width: int, image_width: int, rank: int) -> None:
        super().__init__()
        self.image_scale = nn.Parameter(torch.ones(image_width))
        self.image_shift = nn.Parameter(torch.zeros(image_width))
        self.text_scale = nn.Parameter(torch.ones(text_width))
        self.text_shift = nn.Parameter(torch.zeros(text_width))
        if rank:
            self.bridge_down = nn.Parameter(torch.randn(text_width, rank) * text_width**-0.5)
            self.bridge_up = nn.Parameter(torch.zeros(rank, image_width))
        else:
            self.register_parameter("bridge_down", None)
            self.register_parameter("bridge_up", None)

    def image(self) -> Affine:
        """Return the image tower's change at this site."""
        if self.bridge_down is None or self.bridge_up is None:
            return Affine(self.image_scale, self.image_shift)
        bridged = self.text_scale @ self.bridge_down @ self.bridge_up
        return Affine(self.image_scale + bridged, self.image_shift)

    def text(self) -> Affine:
        """Return the text tower's change at this site."""
        return Affine(self.text_scale, self.text_shift)


class MetaAgent(nn.Module):
    """One site's agents in MAIL++: both scales are bridged from one vector the towers share.

    Args:
        text_width: D of the site in the text tower.
        image_width: D of the site in the image tower.
        rank: R of both bridges.
        dim: M, width of the shared vector.
    """

    def __init__(self, text_width: int, image_width: int, rank: int, dim: int) -> None:
        super().__init__()
        self.meta = nn.Parameter(torch.ones(dim))
        self.text_scale = nn.Parameter(torch.ones(text_width))
        self.text_shift = nn.Parameter(torch.zeros(text_width))
        self.text_bridge_down = nn.Parameter(torch.randn(dim, rank) * dim**-0.5)
        self.text_bridge_up = nn.Parameter(torch.zeros(rank, text_width))
        self.image_scale = nn.Parameter(torch.ones(image_width))
        self.image_shift = nn.Parameter(torch.zeros(image_width))
        self.image_bridge_down = nn.Parameter(torch.randn(dim, rank) * dim**-0.5)
        self.image_bridge_up = nn.Parameter(torch.zeros(rank, image_width))

    def image(self) -> Affine:
        """Return the image tower's change at this site."""
        bridged = self.meta @ self.image_bridge_down @ self.image_bridge_up
        return Affine(self.image_scale + bridged, self.image_shift)

    def text(self) -> Affine:
        """Return the text tower's change at this site."""
        bridged = self.meta @ self.text_bridge_down @ self.text_bridge_up
        return Affine(self.text_scale + bridged, self.text_shift)


class _Agents(Method):
    """What MAIL and MAIL++ have in common: agents at every site, and both projections.

    Args:
        clip: the frozen dual encoder.
        make: makes the agents of a site from its width in the text and in the image tower.
        train_projections: whether both projection matrices are trained too.
    """

    image_projection: nn.Parameter | None
    text_projection: nn.Parameter | None

    def __init__(
        self,
        clip: DualEncoder,
        make: Callable[[int, int], AgentPair | MetaAgent],
        train_projections: bool,
    ) -> None:
        super().__init__(clip)
        image, text, shared = clip.image, clip.text, clip.spec.embed_dim
        self.blocks = nn.ModuleList(
            nn.ModuleDict({site: make(text.width, image.width) for site in BLOCK_SITES})
            for _ in range(min(image.depth, text.depth))
        )
        self.ln_final = make(text.width, image.width)
        self.projection = make(shared, shared)
        for name, tower in (("image_projection", image), ("text_projection", text)):
            matrix = tower.projection if train_projections else None
            own = None if matrix is None else nn.Parameter(matrix.detach().clone())
            self.register_parameter(name, own)

    def _sites(self) -> Iterator[tuple[str, str, nn.Module]]:
        """Image site, text site and the agents of both; the top blocks are paired."""
        image, text = (t.depth - len(self.blocks) for t in (self.clip.image, self.clip.text))
        for i, block in enumerate(self.blocks):
            for site, agents in cast(nn.ModuleDict, block).items():
                yield f"blocks.{image + i}.{site}", f"blocks.{text + i}.{site}", agents
        yield "ln_final", "ln_final", self.ln_final
        yield "projection", "projection", self.projection

    def edits(self) -> tuple[Edit, Edit]:
        """Return a scale and a shift at every site of both towers, and the trained projections."""
        image, text = {}, {}
        for image_site, text_site, agents in self._sites():
            pair = cast(AgentPair | MetaAgent, agents)
            image[image_site], text[text_site] = pair.image(), pair.text()
        return (
            Edit(affine=image, projection=self.image_projection),
            Edit(affine=text, projection=self.text_projection),
        )


@register
class MAIL(_Agents):
    """Multi-modal interactive agent layers: scale and shift everywhere, text leads the image.

    "Multi-Modal Interactive Agent Layer for Few-Shot Universal Cross-Domain Retrieval and Beyond",
    NeurIPS 2025, https://openreview.net/forum?id=rHt6tt5RNF. At each of ``ln_1``, ``attn``,
    ``ln_2``, ``mlp`` of every block, and at ``ln_final`` and ``projection``:

    - text: ``y <- text_scale * y + text_shift``;
    - image: ``y <- (image_scale + text_scale @ bridge_down @ bridge_up) * y + image_shift``.

    At initialisation the model is exactly the frozen one. It merges exactly into a plain model.

    Deviations: towers of unequal depth are paired from the top block down, and the deeper one's
    first blocks get no agents. A tower without a projection (SigLIP's image tower) has none to
    train; its ``projection`` site acts on the embedding itself.

    Args:
        clip: the frozen dual encoder.
        rank: R of the bridges; 0 leaves them out, the papers' own ablation.
        train_projections: whether both projection matrices are trained too.
    """

    key = "mail"
    summary = "Scale and shift at every site, the image's scale bridged from text (NeurIPS 2025)."

    def __init__(
        self,
        clip: DualEncoder,
        *,
        rank: Annotated[int, Range(0, limit=4_096)],
        train_projections: bool,
    ) -> None:
        super().__init__(clip, lambda t, i: AgentPair(t, i, rank), train_projections)


@register
class MAILPlusPlus(_Agents):
    """MAIL++: a vector that both towers share at each site leads both of them.

    "MAIL++", https://arxiv.org/abs/2605.25479. This is a reading of the paper's abstract, which
    speaks of a meta agent layer that both modalities share, a meta-text bridge and a meta-image
    bridge; no code is released. At the sites of :class:`MAIL`:

    - text: ``y <- (text_scale + meta @ text_bridge_down @ text_bridge_up) * y + text_shift``;
    - image: ``y <- (image_scale + meta @ image_bridge_down @ image_bridge_up) * y + image_shift``.

    At initialisation the model is exactly the frozen one. It merges exactly into a plain model.

    Deviations: as in :class:`MAIL`, beside the reading itself.

    Args:
        clip: the frozen dual encoder.
        rank: R of the bridges.
        dim: M, width of the shared vectors; None for the width of the embedding.
        train_projections: whether both projection matrices are trained too.
    """

    key = "mail++"
    summary = "MAIL led by a vector both towers share; a reading of the abstract (2605.25479)."

    def __init__(
        self, clip: DualEncoder, *, rank: Rank, dim: Width | None, train_projections: bool
    ) -> None:
        width = clip.spec.embed_dim if dim is None else dim
        super().__init__(clip, lambda t, i: MetaAgent(t, i, rank, width), train_projections)
