"""Tensor names as training left them: wrappers are stripped, adapters recognised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from interlace._util.text import printable
from interlace.errors import InterlaceError

#: What data-parallel training, torch.compile, FSDP and checkpointing put into names, wherever they
#: wrapped a module. No published model has a part of such a name.
_WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
#: Parts of names that only an adapter of the peft library has.
_ADAPTERS = ("base_layer", "lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B")


def plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Strip wrappers from tensor names, so that they are those of the model itself.

    Raises:
        InterlaceError: if they belong to a peft adapter, or two come to one name.
    """
    check_no_adapter(state)
    plain: dict[str, Tensor] = {}
    for name, tensor in state.items():
        kept = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
        if kept in plain:
            raise InterlaceError(
                f"the checkpoint holds {printable(kept)!r} twice, with and without a wrapper's name"
            )
        plain[kept] = tensor
    while plain and all(name.startswith("model.") for name in plain):
        plain = {name.removeprefix("model."): tensor for name, tensor in plain.items()}
    return plain


def check_no_adapter(names: Iterable[str]) -> None:
    """Refuse the tensors of a peft adapter, alone or inside a model.

    Raises:
        InterlaceError: saying how to merge it.
    """
    for name in names:
        if name.startswith("base_model.") or any(part in _ADAPTERS for part in name.split(".")):
            raise InterlaceError(
                f"the checkpoint holds {printable(name)!r}, a part of a peft adapter: merge it "
                "first, with model.merge_and_unload(), and save the merged model"
            )
