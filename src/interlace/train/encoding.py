"""Encoding the images of a fit once, where they do not differ from epoch to epoch.

Shapes: N images, C classes.
"""

from __future__ import annotations

from torch import Tensor, cat

from interlace.backbone.prefix import PrefixState
from interlace.backbone.prompts import Prompts
from interlace.backbone.tower import TowerOutput
from interlace.data.images.loader import Images, batches
from interlace.methods.base import Method
from interlace.methods.inference import encode_images, encode_prompts
from interlace.train import memory

#: Images encoded at a time.
BATCH = 64


def encode(
    method: Method, prompts: Prompts, images: Images
) -> tuple[TowerOutput, Tensor, TowerOutput]:
    """Encode N images without augmentation, and C classes.

    Args:
        method: the method, which is put into evaluation mode.
        prompts: of the classes.
        images: what to encode.

    Returns:
        The output for the images, their labels [N], and the output for the classes.
    """
    loader = batches(images, method.clip.preprocess.eval_transform(), BATCH)
    return *encode_images(method, loader), encode_prompts(method, prompts)


def image_prefix(
    method: Method, images: Images, frozen: bool = False
) -> tuple[PrefixState, Tensor] | None:
    """Take N images without augmentation through the blocks that the method does not edit.

    Args:
        method: the method.
        images: what to take through.
        frozen: whether the loss needs the unedited features too.

    Returns:
        What comes out and the labels [N]; None where that does not fit into a quarter of the free
        memory.
    """
    clip, spec = method.clip, method.clip.spec.image
    one = 4 * spec.positions * spec.width
    if one * len(images) > memory.available(clip.device) / 4:
        return None
    loader = batches(images, clip.preprocess.eval_transform(), BATCH)
    pairs = [(method.run_image_prefix(x.to(clip.device), frozen), labels) for x, labels in loader]
    labels = cat([labels for _, labels in pairs]).to(clip.device)
    return PrefixState.cat([prefix for prefix, _ in pairs]), labels
