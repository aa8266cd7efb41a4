"""Zero-shot classification: the frozen model itself, with nothing to train."""

from __future__ import annotations

from collections.abc import Sequence

from interlace._util.schema import shown
from interlace.backbone.dual import DualEncoder
from interlace.errors import InterlaceError
from interlace.methods.base import Method
from interlace.methods.registry import register


@register
class ZeroShot(Method):
    """The frozen model: cosine similarity of an image with each class prompt.

    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021,
    https://arxiv.org/abs/2103.00020. With several templates, a class's feature is the mean of its
    prompts' normalised features, normalised once more.

    Args:
        clip: the frozen dual encoder.
        templates: prompts with ``{}`` for the class name, which make an ensemble in the place of
            the task's template; None keeps the task's.

    Raises:
        InterlaceError: if the list is empty or a template has no ``{}``.
    """

    key = "zero_shot"
    summary = "The frozen model: cosine of image and class prompt (2103.00020)."

    def __init__(self, clip: DualEncoder, *, templates: Sequence[str] | None) -> None:
        super().__init__(clip)
        if templates is not None:
            if not templates:
                raise InterlaceError("templates=[]: must be a list of prompts")
            for template in templates:
                if template.count("{}") != 1:
                    raise InterlaceError(f"template {shown(template)} must hold {{}} exactly once")
        self.templates = templates

    def prompt_templates(self, template: str) -> Sequence[str]:
        """Return the ensemble, or the task's template."""
        return (template,) if self.templates is None else tuple(self.templates)
