"""The dual encoder: two frozen towers, a temperature, and what is needed to feed them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interlace.backbone.checkpoints.families import from_native, native_spec
from interlace.backbone.checkpoints.families.names import plain_names
from interlace.backbone.checkpoints.live import read_open_clip_model, read_transformers_model
from interlace.backbone.checkpoints.loaded import TEMPLATE, LoadedModel, own_tokenizer
from interlace.backbone.checkpoints.save import CheckpointFormat, save_model
from interlace.backbone.edits import Edit
from interlace.backbone.hollow import hollow
from interlace.backbone.prefix import FastImageTower, FastTextTower
from interlace.backbone.preprocess import Preprocess
from interlace.backbone.prompts import Prompts, Tokenizer, fill
from interlace.backbone.spec import Activation, Spec
from interlace.errors import InterlaceError


class DualEncoder(nn.Module):
    """A pretrained CLIP-like model, frozen and in evaluation mode.

    Args:
        spec: sizes and variants of the two towers.
        source: where the weights came from, as :func:`interlace.load` takes it.
        tokenizer: texts to ids; None where prompts are only given as ids.
        preprocess: image size and constants; by default OpenAI's at the tower's image size.
        template: default prompt, with ``{}`` for the class name.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        source: str = "",
        tokenizer: Tokenizer | None = None,
        preprocess: Preprocess | None = None,
        template: str = TEMPLATE,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.source = source
        self.tokenizer = tokenizer
        self.preprocess = preprocess or Preprocess(size=spec.image.image_size)
        self.template = template
        self.image = FastImageTower(spec.image, spec.embed_dim)
        self.text = FastTextTower(spec.text, spec.embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(100.0).log())
        self.logit_bias = nn.Parameter(torch.tensor(0.0)) if spec.logit_bias else None
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def from_parts(cls, parts: LoadedModel) -> DualEncoder:
        """Build from what a reader of checkpoints returned; the tensors are taken as they are."""
        with hollow():  # random values would be overwritten at once
            clip = cls(
                parts.spec,
                source=parts.source,
                tokenizer=parts.tokenizer,
                preprocess=parts.preprocess,
                template=parts.template,
            )
        clip.load_state_dict(parts.state, assign=True)
        return clip

    @classmethod
    def from_open_clip(
        cls,
        model: nn.Module,
        tokenizer: Any = None,
        preprocess: Preprocess | None = None,
    ) -> DualEncoder:
        """Build from a model of the open_clip library that is in memory.

        Heads, activations, epsilons and pooling are read from its modules. The model itself is
        neither changed nor shared: its tensors are copied, in float32 and to the CPU, as
        :func:`interlace.load` returns them.

        Args:
            model: an ``open_clip.CLIP`` or ``open_clip.CustomTextCLIP``.
            tokenizer: what ``open_clip.get_tokenizer`` returned, or any function from texts to ids
                [n, L]. By default OpenAI's where the vocabulary has its size, else none.
            preprocess: image constants; by default those of ``model.visual.preprocess_cfg``, which
                open_clip sets when it makes a model, else OpenAI's.

        Raises:
            InterlaceError: if the towers cannot express the model, or an argument does not fit it.
        """
        return cls.from_parts(read_open_clip_model(model, tokenizer, preprocess))

    @classmethod
    def from_transformers(cls, model: nn.Module, processor: Any = None) -> DualEncoder:
        """Build from a model of the transformers library that is in memory.

        The tensors are copied, as in :meth:`from_open_clip`.

        Args:
            model: a ``CLIPModel`` or ``SiglipModel``.
            processor: its ``CLIPProcessor`` or ``SiglipProcessor``, which holds the tokenizer and
                the image constants. Without one the constants are the family's defaults, and the
                tokenizer is OpenAI's where a CLIP has a vocabulary of its size, else none.

        Raises:
            InterlaceError: if the towers cannot express the model, or the processor does not fit.
        """
        return cls.from_parts(read_transformers_model(model, processor))

    @classmethod
    def from_openai_state_dict(
        cls, state: Mapping[str, Tensor], activation: Activation = "quick_gelu", source: str = ""
    ) -> DualEncoder:
        """Build from tensors under OpenAI's / open_clip's key names; sizes come from the tensors.

        Heads are 64 wide, as the format means. A vocabulary of OpenAI's size means OpenAI's
        tokenizer; a model with another takes prompts as ids.

        Args:
            state: the state dict; any floating dtype, converted to float32.
            activation: OpenAI's weights use ``quick_gelu``; most open_clip ones ``gelu``.
            source: recorded as the model's origin.

        Raises:
            InterlaceError: if the tensors are not such a CLIP.
        """
        state = plain_names(state)
        spec = native_spec(state, activation)
        clip = cls(spec, source=source, tokenizer=own_tokenizer(spec))
        clip.load_state_dict(from_native(state, spec))
        return clip

    @property
    def scale(self) -> Tensor:
        """The factor of the cosine similarities in the logits, ``exp(logit_scale)``."""
        return self.logit_scale.exp()

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.logit_scale.device

    def encode_image(self, images: Tensor, edit: Edit | None = None) -> Tensor:
        """Return the image features [B, E] of ``images`` [B, 3, H, W], not normalised."""
        return self.image(images, edit).features

    def encode_text(self, ids: Tensor, edit: Edit | None = None) -> Tensor:
        """Return the text features [C, E] of token ids [C, L], not normalised."""
        return self.text(ids, edit).features

    def forward(self, images: Tensor, ids: Tensor) -> Tensor:
        """Return logits [B, C]: scaled cosine similarities, plus the bias if the model has one."""
        image = F.normalize(self.encode_image(images), dim=-1)
        text = F.normalize(self.encode_text(ids), dim=-1)
        logits = self.scale * image @ text.T
        return logits if self.logit_bias is None else logits + self.logit_bias

    def prompts(self, names: Sequence[str], template: str | Sequence[str] | None = None) -> Prompts:
        """Tokenise the prompts of class names.

        Args:
            names: C class names.
            template: text with ``{}`` for the name; several make an ensemble, whose normalised
                features are averaged; None is the model's own.

        Raises:
            InterlaceError: if the model came without a tokenizer, a template has no ``{}``, or a
                prompt does not fit the context.
        """
        if self.tokenizer is None:
            raise InterlaceError(
                "this model came without a tokenizer: give prompts as interlace.Prompts(ids)"
            )
        template = self.template if template is None else template
        templates = [template] if isinstance(template, str) else list(template)
        filled = [fill(one, names) for one in templates]
        texts = [text for of_class in zip(*filled, strict=True) for text in of_class]
        ids = self.tokenizer(texts)
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < self.spec.text.vocab_size:
            raise InterlaceError(
                f"the tokenizer gives ids from {int(ids.min())} to {int(ids.max())} and the model "
                f"has {self.spec.text.vocab_size:,} tokens: it belongs to another model"
            )
        return Prompts(ids.to(self.device), tuple(names), len(templates))

    def save(
        self, folder: str | Path, format: CheckpointFormat = "open_clip", overwrite: bool = False
    ) -> Path:
        """Write an ordinary checkpoint, in float32, with its tokenizer and image constants.

        The folder appears only when it is complete.

        Args:
            folder: where to; made if need be.
            format: ``open_clip`` for ``open_clip.create_model_from_pretrained("local-dir:...")``,
                or ``hf`` for transformers' ``CLIPModel`` or ``SiglipModel``. Both formats hold a
                native CLIP; of SigLIP, open_clip only knows the sizes and activations that timm
                has a name for.
            overwrite: whether a folder that holds a saved model may be replaced.

        Returns:
            The folder.

        Raises:
            InterlaceError: if the format cannot express the model, or the folder is not free.
        """
        return save_model(self.parts(), folder, format, overwrite)

    def parts(self) -> LoadedModel:
        """Return what the model is made of, :meth:`from_parts` undone; tensors are not copied."""
        return LoadedModel(
            self.spec,
            self.state_dict(),
            self.tokenizer,
            self.preprocess,
            self.source,
            self.template,
        )

    @contextmanager
    def compiled(self, backend: str = "inductor") -> Iterator[None]:
        """Run the blocks of both towers through ``torch.compile`` inside the context.

        Raises:
            InterlaceError: if the compiler fails, as it does where there is no C++ compiler.
        """
        from torch._dynamo.exc import BackendCompilerFailed  # slow to import, seldom needed

        try:
            with self.image.compile_blocks(backend), self.text.compile_blocks(backend):
                yield
        except BackendCompilerFailed as error:
            cause = error.inner_exception
            reason = f"{type(cause).__name__}: {cause}".splitlines()[0]
            raise InterlaceError(f"torch.compile fails here, leave compile off: {reason}") from None

    def configuration_hash(self) -> str:
        """Hash what the weights do not say and a changed file would: SHA-256, 16 hex digits.

        That is heads, activation and epsilon of each tower, and the image constants.
        """
        towers = [(t.heads, t.activation, t.norm_eps) for t in (self.spec.image, self.spec.text)]
        content = json.dumps([towers, self.preprocess.to_dict()], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def fingerprint(self) -> str:
        """Hash names, shapes and values of all weights: SHA-256, 16 hex digits."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]
