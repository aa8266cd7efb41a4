"""Tensor names and architectures of the checkpoint formats, both ways."""

from interlace.backbone.checkpoints.families.hugging_face import (
    from_hugging_face,
    hugging_face_family,
    hugging_face_spec,
    to_hugging_face,
)
from interlace.backbone.checkpoints.families.open_clip import (
    from_open_clip,
    native_spec,
    open_clip_spec,
    refuse,
)
from interlace.backbone.checkpoints.families.open_clip_saving import to_open_clip

#: OpenAI's format is open_clip's native one.
from_native = from_open_clip

__all__ = [
    "from_hugging_face",
    "from_native",
    "from_open_clip",
    "hugging_face_family",
    "hugging_face_spec",
    "native_spec",
    "open_clip_spec",
    "refuse",
    "to_hugging_face",
    "to_open_clip",
]
