"""The standard retrieval benchmarks as data: their domains, unseen classes and settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from interlace.data.retrieval import RetrievalSetting

DOMAINNET_UNSEEN = tuple(
    "airplane asparagus axe bandage beard blueberry boomerang bracelet bread cake campfire cloud "
    "dolphin donut elbow finger giraffe grapes hamburger helicopter hurricane ladder lightning "
    "marker megaphone moon motorbike octopus onion parrot peanut peas rainbow rollerskates "
    "sailboat scissors skateboard skyscraper snowman suitcase sweater tooth tornado watermelon "
    "windmill".split()
)
SKETCHY_UNSEEN = tuple(
    "bat cabin cow dolphin door giraffe helicopter mouse pear raccoon rhinoceros saw scissors "
    "seagull skyscraper songbird sword tree wheelchair windmill window".split()
)
TUBERLIN_UNSEEN = tuple(
    "banana bus tractor suitcase streetlight telephone canoe fan teacup penguin laptop shoe "
    "lighter pizza brain ant trombone windmill snowboard table rollerblades parachute bridge "
    "bread horse".split()
)


@dataclass(frozen=True, slots=True)
class RetrievalEntry:
    """A standard retrieval benchmark.

    Attributes:
        name: Its name, such as ``"domainnet"``.
        title: Its name as papers write it.
        folder: Its folder below the data root.
        domains: Folder of each domain below ``folder``, by the domain's name.
        unseen: The classes that never train.
        gallery: The domain that is searched.
        settings: What may be held out.
        mixed_share: Share of the training classes' gallery images in the mixed gallery.
        query_shares: Share that ``udcdr`` takes where it is not the usual one.
        measures: The measures that are published.
    """

    name: str
    title: str
    folder: str
    domains: Mapping[str, str]
    unseen: tuple[str, ...]
    gallery: str
    settings: tuple[RetrievalSetting, ...]
    mixed_share: float = 0.0
    query_shares: Mapping[str, float] = field(default_factory=dict)
    measures: tuple[str, str] = ("map_200", "prec_200")


_DOMAINNET_DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")

RETRIEVAL_BENCHMARKS: Mapping[str, RetrievalEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            RetrievalEntry(
                name="domainnet",
                title="DomainNet",
                folder="DomainNet",
                domains={name: name for name in _DOMAINNET_DOMAINS},
                unseen=DOMAINNET_UNSEEN,
                gallery="real",
                settings=(
                    RetrievalSetting("sketch", "quickdraw"),
                    RetrievalSetting("quickdraw", "sketch"),
                    RetrievalSetting("painting", "infograph"),
                    RetrievalSetting("infograph", "painting"),
                    RetrievalSetting("clipart", "painting"),
                ),
                mixed_share=0.08,
                query_shares={"quickdraw": 0.1},
            ),
            RetrievalEntry(
                name="sketchy",
                title="Sketchy-extended",
                folder="Sketchy",
                domains={"sketch": "sketch", "photo": "extended_photo"},
                unseen=SKETCHY_UNSEEN,
                gallery="photo",
                settings=(RetrievalSetting("", "sketch"),),
            ),
            RetrievalEntry(
                name="tuberlin",
                title="TU-Berlin-extended",
                folder="TUBerlin",
                domains={"sketch": "sketches", "photo": "images"},
                unseen=TUBERLIN_UNSEEN,
                gallery="photo",
                settings=(RetrievalSetting("", "sketch"),),
                measures=("map_all", "prec_100"),
            ),
        )
    }
)
"""The standard retrieval benchmarks by name."""


def find_retrieval(name: str) -> RetrievalEntry | None:
    """Find a benchmark in any common spelling: ``TU-Berlin``, ``domain_net``."""
    for entry in RETRIEVAL_BENCHMARKS.values():
        if _plain(name) in {_plain(entry.name), _plain(entry.title)}:
            return entry
    return None


def retrieval_names() -> tuple[str, ...]:
    """List the data sets that are known by name."""
    return ("picto/retrieval", *RETRIEVAL_BENCHMARKS)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
