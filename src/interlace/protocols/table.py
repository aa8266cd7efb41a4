"""All protocols by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from interlace._util.text import did_you_mean
from interlace.errors import InterlaceError
from interlace.protocols.base import Protocol
from interlace.protocols.base_to_novel import BaseToNovel
from interlace.protocols.cross_dataset import CrossDataset
from interlace.protocols.domain_generalization import DomainGeneralization
from interlace.protocols.few_shot import FewShot
from interlace.protocols.retrieval import Retrieval, Uccdr, Ucdr, Udcdr
from interlace.protocols.robustness import Robustness

#: All protocols by name.
PROTOCOLS: Mapping[str, Protocol[Any]] = MappingProxyType(
    {
        protocol.name: protocol()
        for protocol in (
            FewShot,
            BaseToNovel,
            CrossDataset,
            DomainGeneralization,
            Robustness,
            Ucdr,
            Uccdr,
            Udcdr,
            Retrieval,
        )
    }
)


def get(name: str) -> Protocol[Any]:
    """Return the protocol of a name.

    Raises:
        InterlaceError: if there is none.
    """
    wanted = name.strip().lower().replace("-", "_")
    if wanted not in PROTOCOLS:
        hint = did_you_mean(wanted, PROTOCOLS) or f"there are {', '.join(PROTOCOLS)}"
        raise InterlaceError(f"no protocol {name!r}: {hint}")
    return PROTOCOLS[wanted]
