"""The contract of a method: own parameters to a pair of edits, features to logits.

Shapes: B images, C classes, E embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interlace._util.schema import Range
from interlace.backbone.dual import DualEncoder
from interlace.backbone.edits import Edit
from interlace.backbone.prefix import PrefixState
from interlace.backbone.prompts import Prompts, Template
from interlace.backbone.tower import TowerOutput

#: What arguments may be that several methods take. The limits are beyond all use: they keep a slip
#: of the hand from taking all memory.
Share = Annotated[float, Range(0, 1)]
Weight = Annotated[float, Range(0, limit=1_000_000)]
Factor = Annotated[float, Range(above=0, limit=1_000_000)]
Blocks = Annotated[int, Range(1, limit=1_000)]
TokenCount = Annotated[int, Range(1, limit=1_000)]
Rank = Annotated[int, Range(1, limit=4_096)]
Width = Annotated[int, Range(1, limit=16_384)]

#: The image tower's and the text tower's edit.
Edits = tuple[Edit | None, Edit | None]


@dataclass(frozen=True)
class Output:
    """What a method computes for a batch.

    Attributes:
        image_features: [B, E], L2-normalised.
        text_features: [C, E], L2-normalised.
        logits: [B, C], the ones a prediction is made from.
    """

    image_features: Tensor
    text_features: Tensor
    logits: Tensor


class Method(nn.Module):
    """Base of all methods; as it stands it is the frozen model.

    A method owns its parameters and nothing else: the dual encoder it adapts is held beside the
    module tree, so ``parameters()`` and ``state_dict()`` are the trainable set exactly.

    The annotations of the keyword-only arguments of ``__init__`` say what each may be:
    :func:`interlace.methods.create` and all that reads settings hold values to them.

    Args:
        clip: the frozen dual encoder; every size comes from it.
    """

    #: The name users call the method by; see :func:`interlace.methods.register`.
    key: ClassVar[str] = ""
    #: One sentence and the paper, for ``interlace show``.
    summary: ClassVar[str] = ""
    #: Settings of training that differ from those of :class:`~interlace.config.TrainConfig`, for
    #: methods outside this package; those of this package's methods are in ``methods.yaml``.
    train_defaults: ClassVar[Mapping[str, Any]] = {}
    #: Whether :meth:`loss` compares with the frozen model's features.
    needs_frozen: bool = False
    #: Whether the towers leave out what does not change the result; see
    #: :mod:`interlace.backbone.prefix`.
    shortcuts: bool = True
    #: Whether the method works on the frozen features and edits no tower; it is then trained on
    #: features that are encoded once.
    uses_frozen_features: ClassVar[bool] = False
    #: Whether the method answers only for the classes it was fitted on.
    fixed_classes: ClassVar[bool] = False
    #: Own tensors whose size follows from the shots; loading restores the size they were saved in.
    lazily_sized_tensors: ClassVar[tuple[str, ...]] = ()

    def __init__(self, clip: DualEncoder) -> None:
        super().__init__()
        self._clip = (clip,)  # a tuple, so that nn.Module does not adopt the backbone

    @property
    def clip(self) -> DualEncoder:
        """The frozen dual encoder."""
        return self._clip[0]

    def edits(self) -> Edits:
        """Return the image tower's and the text tower's edit; None leaves a tower as it is."""
        return None, None

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in self.lazily_sized_tensors:
            saved = state.get(prefix + name)
            # an optimiser may hold the tensor that is there: one of the right size stays
            if saved is None or saved.shape == getattr(self, name).shape:
                continue
            empty = torch.empty_like(saved, device=self.clip.device)
            setattr(self, name, nn.Parameter(empty) if name in self._parameters else empty)
        super()._load_from_state_dict(state, prefix, *rest)

    def init_from_shots(self, image: TowerOutput, labels: Tensor, text: TowerOutput) -> None:
        """Look at the shots before training; most methods have no need to.

        Args:
            image: frozen output for the N shots.
            labels: their classes [N].
            text: frozen output for the C classes.
        """

    def tune_on_validation(self, image: TowerOutput, labels: Tensor, text: TowerOutput) -> None:
        """Choose on the validation shots what is not learnt by gradient; most methods have nothing.

        Args:
            image: this method's output for the validation images.
            labels: their classes.
            text: this method's output for the C classes.
        """

    def prompt_templates(self, template: str) -> Sequence[str]:
        """Return the templates this method puts class names into, given the task's.

        Usually that one.
        """
        return (template,)

    def prompts(self, names: Sequence[str], template: Template) -> Prompts:
        """Tokenise the prompts of class names in this method's form of ``template``.

        Raises:
            InterlaceError: as :meth:`DualEncoder.prompts`.
        """
        given = (template,) if isinstance(template, str) else template
        own = [form for one in given for form in self.prompt_templates(one)]
        return self.clip.prompts(names, list(dict.fromkeys(own)))

    @torch.no_grad()
    def run_prompt_prefix(self, prompts: Prompts) -> Prompts:
        """Take prompts through the text blocks that this method does not change.

        The result gives what ``prompts`` give, as long as the first block that is edited stays the
        same, and does not compute these blocks and the frozen features again.
        """
        if not self.shortcuts:
            return prompts
        ids, edit = self.prompt_ids(prompts), self.edits()[1]
        return replace(prompts, prefix=self.clip.text.run_prefix(ids, edit, self.needs_frozen))

    @torch.no_grad()
    def run_image_prefix(self, images: Tensor, return_frozen: bool = False) -> PrefixState:
        """Take ``images`` [B, 3, H, W] through the blocks that this method does not change.

        Args:
            images: preprocessed images.
            return_frozen: whether to compute the unedited features too.
        """
        return self.clip.image.run_prefix(images, self.edits()[0], return_frozen)

    def encode_image(
        self, images: Tensor | PrefixState, return_frozen: bool = False, edits: Edits | None = None
    ) -> TowerOutput:
        """Run the image tower under this method's edit.

        Args:
            images: preprocessed images [B, 3, H, W], or what :meth:`run_image_prefix` made of them.
            return_frozen: whether to return the unedited features too.
            edits: what :meth:`edits` returned, where that is known already.
        """
        edit = (self.edits() if edits is None else edits)[0]
        return self.clip.image(images, edit, return_frozen, self.shortcuts)

    def encode_text(
        self, prompts: Prompts, return_frozen: bool = False, edits: Edits | None = None
    ) -> TowerOutput:
        """Run the text tower on ``prompts`` of C classes under this method's edit.

        Args:
            prompts: the class prompts; of an ensemble, the normalised features are averaged.
            return_frozen: whether to return the unedited features too.
            edits: what :meth:`edits` returned, where that is known already.
        """
        edit = (self.edits() if edits is None else edits)[1]
        texts = self.prompt_ids(prompts) if prompts.prefix is None else prompts.prefix
        output = self.clip.text(texts, edit, return_frozen, self.shortcuts)
        if prompts.n_templates == 1:
            return output
        return TowerOutput(
            _ensemble(output.features, prompts.n_templates),
            frozen=None if output.frozen is None else _ensemble(output.frozen, prompts.n_templates),
        )

    def prompt_ids(self, prompts: Prompts) -> Tensor:
        """Return the token ids the text tower reads; a method may make room for its tokens."""
        return prompts.ids

    def score(self, image: TowerOutput, text: TowerOutput, seen: bool = True) -> Output:
        """Turn features into logits.

        Args:
            image: the image tower's output for B images.
            text: the text tower's output for C classes.
            seen: whether the method was trained on these classes.

        Returns:
            Scaled cosine similarities, and what :meth:`loss` needs.
        """
        image_features = F.normalize(image.features, dim=-1)
        text_features = F.normalize(text.features, dim=-1)
        logits = self.clip.scale * image_features @ text_features.T
        return Output(image_features, text_features, logits)

    def forward(
        self, images: Tensor | PrefixState, prompts: Prompts | Sequence[str], seen: bool = True
    ) -> Output:
        """Compare ``images`` [B, 3, H, W] with C class prompts, with all that the loss needs.

        Args:
            images: preprocessed images, or what :meth:`run_image_prefix` made of them.
            prompts: token ids, or class names to put into the model's default template.
            seen: whether the method was trained on these classes.
        """
        if not isinstance(prompts, Prompts):
            prompts = self.prompts(prompts, self.clip.template)
        edits, return_frozen = self.edits(), self.needs_frozen
        image = self.encode_image(images, return_frozen, edits)
        return self.score(image, self.encode_text(prompts, return_frozen, edits), seen)

    def loss(self, out: Output, labels: Tensor) -> Tensor:
        """Return the cross-entropy of ``out.logits`` [B, C] with ``labels`` [B]."""
        return F.cross_entropy(out.logits, labels)

    def regularization(self, out: Output) -> Tensor:
        """Return what :meth:`loss` adds to its cross-entropy whatever the labels are.

        Usually nothing.
        """
        return out.logits.new_zeros(())


def _ensemble(features: Tensor, templates: int) -> Tensor:
    """Average the normalised features [C * T, E] of each class to [C, E]."""
    return F.normalize(features, dim=-1).unflatten(0, (-1, templates)).mean(dim=1)
