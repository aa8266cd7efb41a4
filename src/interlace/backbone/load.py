"""Loading a model by name or from a path."""

from __future__ import annotations

import difflib
import os
from dataclasses import replace
from importlib import resources
from pathlib import Path

from interlace._util.reading import check_regular
from interlace._util.text import first_line, printable
from interlace.backbone.checkpoints.configs import check_open_clip
from interlace.backbone.checkpoints.families import from_open_clip, open_clip_spec, refuse
from interlace.backbone.checkpoints.image_processor import open_clip_preprocess
from interlace.backbone.checkpoints.loaded import TEMPLATE, LoadedModel
from interlace.backbone.checkpoints.model_folder import (
    HUGGING_FACE_WEIGHTS,
    OPEN_CLIP_CONFIG,
    OPEN_CLIP_WEIGHTS,
    hugging_face_checkpoint,
    open_clip_checkpoint,
    open_clip_tokenizer,
)
from interlace.backbone.checkpoints.pickles import PICKLED, is_pickled
from interlace.backbone.checkpoints.tensors import read_weights
from interlace.backbone.checkpoints.weights_file import file_checkpoint
from interlace.backbone.dual import DualEncoder
from interlace.backbone.files import HubRepository, LocalFolder
from interlace.backbone.spec import Activation
from interlace.errors import InterlaceError

PICTO = "picto"
_PICTO_TEMPLATE = "a drawing of {}"
_WEIGHT_ENDINGS = (".safetensors", *PICKLED)
#: What training leaves in folders beside the weights.
_NO_WEIGHTS = (
    "training_args.bin",
    "optimizer.pt",
    "optimizer.bin",
    "scheduler.pt",
    "rng_state.pth",
)


def load(
    name: str | Path,
    *,
    arch: str | None = None,
    activation: Activation | None = None,
    template: str | None = None,
    cache_dir: str | None = None,
) -> DualEncoder:
    """Load a pretrained CLIP-like model.

    Args:
        name: which one:

            - ``"picto"``: the small model embedded in this package;
            - ``"ViT-B-16:openai"``: any open_clip ``model:pretrained`` pair, fetched by open_clip;
            - ``"ViT-B/16"``: OpenAI's name of ``ViT-B-16:openai``;
            - ``"hf:openai/clip-vit-base-patch16"``: a ``CLIPModel`` or ``SiglipModel`` of the
              Hugging Face hub;
            - ``"hf-hub:timm/ViT-B-16-SigLIP"``: an open_clip model of the Hugging Face hub;
            - a path: a folder with ``open_clip_config.json`` or ``config.json``, or a weights file
              (``.safetensors``, ``.pt``, ``.pth``, ``.bin``) with one of them beside it. Nothing is
              fetched for a path, and no code in it runs;
            - ``"ViT-B-16:/path/weights.pt"``: a weights file of the open_clip architecture
              ``ViT-B-16``; ``"ViT-B-16,quick_gelu:/path/weights.pt"`` with another activation.
        arch: for a weights file without a configuration: open_clip's name of its architecture,
            whose heads and activation count. ``ViT-B-16`` means ``gelu`` and
            ``ViT-B-16-quickgelu`` what OpenAI's weights need.
        activation: for such a file: the MLPs' nonlinearity, where it is not the architecture's. A
            safetensors file may say it in its metadata, under ``activation``. Without ``arch`` it
            is enough where open_clip knows one architecture of these sizes.
        template: default prompt with ``{}`` for the class name; by default the model's own.
        cache_dir: where downloads are kept; by default where the fetching library keeps them.

    Of PyTorch's files nothing but tensors is made; files that hold more are refused.

    Returns:
        The model, frozen, in float32 on the CPU, with its tokenizer and image constants.

    Raises:
        InterlaceError: if the name is unknown, the checkpoint is broken or of a kind that cannot be
            loaded, or nothing says which heads and activation a weights file means.
    """
    found = _find(name, arch, activation, cache_dir)
    return DualEncoder.from_parts(replace(found, template=template or found.template))


def _find(
    name: str | Path, arch: str | None, activation: Activation | None, cache_dir: str | None
) -> LoadedModel:
    text = str(name)
    if not text:
        raise InterlaceError(
            "a model made in memory has no name to load it by: save it, or give the model itself"
        )
    path = Path(os.path.expanduser(text.removeprefix("local-dir:")))
    if os.path.isfile(path) and name != PICTO:
        return file_checkpoint(path, arch, activation)
    if isinstance(name, str) and (named := _named_file(name)):
        words, path = named
        own_arch, _, own_activation = words.partition(",")
        check_regular(path, "weights file")
        return file_checkpoint(path, arch or own_arch, activation or own_activation or None)  # type: ignore[arg-type]
    for argument, value in (("arch", arch), ("activation", activation)):
        if value is not None:
            raise InterlaceError(
                f"{argument}={value!r} is for a .safetensors file or one of PyTorch's; "
                f"{printable(text)!r} says its own"
            )
    if name == PICTO:  # a folder of that name is "./picto"
        folder = Path(str(resources.files("interlace") / "data" / "datasets" / "picto" / "model"))
        if not folder.is_dir():
            raise InterlaceError("this installation of Interlace lacks the embedded model 'picto'")
        found = _from_folder(LocalFolder(folder))
        own = found.template != TEMPLATE
        return replace(found, source=PICTO, template=found.template if own else _PICTO_TEMPLATE)
    if os.path.isdir(path):
        return replace(_from_folder(LocalFolder(path)), source=str(path.resolve()))
    if text.startswith("hf:"):
        repository = HubRepository(text.removeprefix("hf:"), cache_dir)
        return replace(hugging_face_checkpoint(repository, HUGGING_FACE_WEIGHTS), source=text)
    if text.startswith("hf-hub:"):
        repository = HubRepository(text.removeprefix("hf-hub:"), cache_dir)
        return replace(open_clip_checkpoint(repository, OPEN_CLIP_WEIGHTS), source=text)
    if os.path.lexists(path) and not os.path.exists(os.path.join(path, "")):
        check_regular(path, "weights file")  # a pipe, a device, a link to nothing
    if isinstance(name, Path) or _is_path(text):
        raise InterlaceError(f"no file or folder {printable(text)!r}")
    return _from_tag(text, cache_dir)


def _is_path(text: str) -> bool:
    return text.startswith((".", "/", "~")) or text.lower().endswith(_WEIGHT_ENDINGS)


def _named_file(text: str) -> tuple[str, Path] | None:
    """Split ``ARCHITECTURE[,ACTIVATION]:FILE`` at the colon; None for another form."""
    words, colon, place = text.partition(":")
    if not colon or words in ("hf", "hf-hub", "local-dir"):
        return None
    # no tag of open_clip looks like a path, and a file of a tag's name changes nothing
    return (words, Path(os.path.expanduser(place))) if "/" in place or _is_path(place) else None


def _from_folder(files: LocalFolder) -> LoadedModel:
    """Read a folder of either kind.

    open_clip's config counts where both are there with its weights.
    """
    open_clip_weights = any(
        files.find(name) for name in OPEN_CLIP_WEIGHTS if name.startswith("open_clip")
    )
    hugging_face = files.find("config.json") is not None
    if files.find(OPEN_CLIP_CONFIG) and (open_clip_weights or not hugging_face):
        return open_clip_checkpoint(files, OPEN_CLIP_WEIGHTS + _only_weights(files.folder))
    if hugging_face:
        return hugging_face_checkpoint(files, HUGGING_FACE_WEIGHTS + _only_weights(files.folder))
    raise InterlaceError(
        f"{files.name} holds no model: expected {OPEN_CLIP_CONFIG} or config.json in it"
    )


def _only_weights(folder: Path) -> tuple[str, ...]:
    """Return the one weights file of a folder: as in open_clip, it may have any name."""
    names = [name for name in os.listdir(folder) if name not in _NO_WEIGHTS]
    for fits in (lambda name: name.endswith(".safetensors"), is_pickled):
        found = tuple(name for name in names if fits(name))
        if found:
            return found if len(found) == 1 else ()
    return ()


def _from_tag(text: str, cache_dir: str | None) -> LoadedModel:
    """Load an open_clip ``model:pretrained`` pair, or OpenAI's name of one of its models."""
    import open_clip

    model, _, tag = text.replace("/", "-").replace("@", "-").removesuffix("px").partition(":")
    by_openai = "/" in text or model.startswith("RN")
    if not tag and by_openai and open_clip.get_pretrained_cfg(model, "openai"):
        tag = "openai"
    pretrained = open_clip.get_pretrained_cfg(model, tag)
    config = open_clip.get_model_config(model) if pretrained else None
    if not pretrained or config is None:
        raise InterlaceError(_unknown(text, model))
    check_open_clip(config, f"architecture {model}")
    refuse(config)
    try:
        weights = open_clip.download_pretrained(pretrained, cache_dir=cache_dir)
    except Exception as error:  # whatever carries the download
        raise InterlaceError(
            f"cannot fetch {model}:{tag}: {type(error).__name__}: {first_line(error)}"
        ) from None
    state = read_weights(Path(weights))[0]
    # the tag knows how the weights were trained; the architecture's name may not
    quick_gelu = bool(pretrained.get("quick_gelu", False)) or tag == "openai"
    spec = open_clip_spec(state, config, quick_gelu)
    return LoadedModel(
        spec,
        from_open_clip(state, spec),
        open_clip_tokenizer(spec, config["text_cfg"], None, cache_dir),
        open_clip_preprocess(spec, pretrained),
        source=f"{model}:{tag}",
    )


def known_names() -> list[str]:
    """Return ``picto`` and every ``model:pretrained`` pair of open_clip."""
    import open_clip

    return [PICTO, *open_clip.list_pretrained(as_str=True)]


def _unknown(text: str, model: str) -> str:
    known = known_names()
    tags = [name for name in known if name.startswith(f"{model}:")][:5]
    close = tags or difflib.get_close_matches(text, known, n=3, cutoff=0.4)
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    return f"unknown model {printable(text)!r}{hint}"
