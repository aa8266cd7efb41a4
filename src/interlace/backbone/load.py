"""Loading a model by name or from a path."""

from __future__ import annotations

import difflib
from dataclasses import replace
from importlib import resources
from pathlib import Path

import torch

from interlace.backbone.checkpoint import (
    HUGGING_FACE_WEIGHTS,
    OPEN_CLIP_CONFIG,
    OPEN_CLIP_WEIGHTS,
    TEMPLATE,
    Checkpoint,
    file_checkpoint,
    hugging_face_checkpoint,
    open_clip_checkpoint,
    open_clip_preprocess,
    open_clip_tokenizer,
)
from interlace.backbone.dual import DualEncoder
from interlace.backbone.files import HubRepository, LocalFolder
from interlace.backbone.spec import Activation
from interlace.backbone.weights import from_open_clip, open_clip_spec, refuse
from interlace.errors import InterlaceError

PICTO = "picto"
_PICTO_TEMPLATE = "a drawing of {}"


def load(
    name: str | Path,
    *,
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
            - a path: a folder with ``open_clip_config.json``, a folder with ``config.json``, or a
              ``.safetensors`` file under OpenAI's key names. Nothing is fetched for a path.
        activation: for a single ``.safetensors`` file only: the MLPs' nonlinearity. By default what
            the file's metadata says under ``activation``, or ``quick_gelu``, as OpenAI's weights
            mean; most open_clip weights need ``gelu``.
        template: default prompt with ``{}`` for the class name; by default the model's own.
        cache_dir: where downloads are kept; by default where the fetching library keeps them.

    Local weights are read from safetensors only. Some published tags and repositories offer none;
    their PyTorch files are read with ``weights_only=True``, which makes nothing but tensors.

    Returns:
        The model, frozen, in float32 on the CPU, with its tokenizer and image constants.

    Raises:
        InterlaceError: if the name is unknown, or the checkpoint of a kind that cannot be loaded.
    """
    found = _find(name, activation, cache_dir)
    with torch.device("meta"):  # random values would be overwritten at once
        clip = DualEncoder(
            found.spec,
            source=found.source,
            tokenizer=found.tokenizer,
            preprocess=found.preprocess,
            template=template or found.template,
        )
    clip.load_state_dict(found.state, assign=True)
    return clip


def _find(name: str | Path, activation: Activation | None, cache_dir: str | None) -> Checkpoint:
    text = str(name)
    path = Path(text.removeprefix("local-dir:")).expanduser()
    if path.is_file() and name != PICTO:
        return replace(file_checkpoint(path, activation), source=str(path.resolve()))
    if activation is not None:
        raise InterlaceError(
            f"activation={activation!r} is for a .safetensors file; {text!r} says its own"
        )
    if name == PICTO:  # a folder of that name is "./picto"
        folder = Path(str(resources.files("interlace") / "data" / "picto" / "model"))
        if not folder.is_dir():
            raise InterlaceError("this installation of Interlace lacks the embedded model 'picto'")
        found = _from_folder(LocalFolder(folder))
        own = found.template != TEMPLATE
        return replace(found, source=PICTO, template=found.template if own else _PICTO_TEMPLATE)
    if path.is_dir():
        return replace(_from_folder(LocalFolder(path)), source=str(path.resolve()))
    if text.startswith("hf:"):
        repository = HubRepository(text.removeprefix("hf:"), cache_dir)
        return replace(
            hugging_face_checkpoint(repository, (*HUGGING_FACE_WEIGHTS, "pytorch_model.bin")),
            source=text,
        )
    if text.startswith("hf-hub:"):
        repository = HubRepository(text.removeprefix("hf-hub:"), cache_dir)
        weights = (*OPEN_CLIP_WEIGHTS, "open_clip_pytorch_model.bin")
        return replace(open_clip_checkpoint(repository, weights), source=text)
    if isinstance(name, Path) or text.startswith((".", "/", "~")) or text.endswith(".safetensors"):
        raise InterlaceError(f"no file or folder {text!r}")
    return _from_tag(text, cache_dir)


def _from_folder(files: LocalFolder) -> Checkpoint:
    """A folder of either kind; open_clip's config counts where both are there with its weights."""
    open_clip_weights = any(files.find(name) for name in OPEN_CLIP_WEIGHTS[:2])
    hugging_face = files.find("config.json") is not None
    if files.find(OPEN_CLIP_CONFIG) and (open_clip_weights or not hugging_face):
        # as in open_clip, a folder's only weights may have any name
        others = tuple(path.name for path in files.folder.glob("*.safetensors"))
        return open_clip_checkpoint(files, OPEN_CLIP_WEIGHTS + (others if len(others) == 1 else ()))
    if hugging_face:
        return hugging_face_checkpoint(files, HUGGING_FACE_WEIGHTS)
    raise InterlaceError(
        f"{files.name} holds no model: expected {OPEN_CLIP_CONFIG} or config.json in it"
    )


def _from_tag(text: str, cache_dir: str | None) -> Checkpoint:
    """An open_clip ``model:pretrained`` pair, or OpenAI's name of one of its models."""
    import open_clip
    from open_clip.factory import load_state_dict
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg

    model, _, tag = text.replace("/", "-").replace("@", "-").removesuffix("px").partition(":")
    openai = model in open_clip.list_openai_models() and ("/" in text or model.startswith("RN"))
    tag = tag or ("openai" if openai else "")
    pretrained = get_pretrained_cfg(model, tag)
    config = open_clip.get_model_config(model)
    if not pretrained or config is None:
        raise InterlaceError(_unknown(text, model))
    refuse(config)
    try:
        weights = download_pretrained(pretrained, cache_dir=cache_dir)
        state = load_state_dict(weights)
    except Exception as error:  # whatever carries the download
        raise InterlaceError(
            f"cannot fetch {model}:{tag}: {type(error).__name__}: {str(error).splitlines()[0]}"
        ) from None
    # the tag knows how the weights were trained; the architecture's name may not
    quick_gelu = bool(pretrained.get("quick_gelu", False)) or tag == "openai"
    spec = open_clip_spec(state, config, quick_gelu)
    return Checkpoint(
        spec,
        from_open_clip(state, spec),
        open_clip_tokenizer(spec, config["text_cfg"], None, cache_dir),
        open_clip_preprocess(spec, pretrained),
        source=f"{model}:{tag}",
    )


def known_names() -> list[str]:
    """``picto`` and every ``model:pretrained`` pair of open_clip."""
    import open_clip

    return [PICTO, *open_clip.list_pretrained(as_str=True)]


def _unknown(text: str, model: str) -> str:
    known = known_names()
    tags = [name for name in known if name.startswith(f"{model}:")]
    close = tags[:5] or difflib.get_close_matches(text, known, n=3, cutoff=0.4)
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    return f"unknown model {text!r}{hint}"
