"""Images of several domains, and which of their classes and domains are kept from training."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from interlace.data.source import Source
from interlace.errors import InterlaceError

MIXED_SHARE = 0.08
"""Share of each training class's gallery images that join the mixed gallery and never train."""

QUERY_SHARE = 0.25
"""Share of each training class's images, in held-out and gallery domain, that ``udcdr`` takes."""

UNSEEN_SHARE = 0.2
"""Share of the classes that are unseen where nobody says which."""


@dataclass(frozen=True, slots=True)
class RetrievalSetting:
    """Which domain is left out of training, and which one stands beside it.

    Attributes:
        held_out: Domain that never trains: the queries of ``ucdr`` and ``udcdr``. ``""`` for none.
        seen: Domain that trains: the queries of ``uccdr``. ``""`` for none.
    """

    held_out: str
    seen: str = ""

    @property
    def name(self) -> str:
        """What the setting is called: its held-out domain, or the seen one if there is none."""
        return self.held_out or self.seen


@dataclass(frozen=True)
class RetrievalSet:
    """Images of several domains, and which classes and domains are kept from training.

    Attributes:
        source: All images, with their domains.
        unseen: The classes that never train, as ``source.classes`` writes them.
        gallery: Domain that is searched. Its images of training classes train too, but for those
            that are set aside.
        settings: What may be held out.
        families: What kind of drawing a domain is, where several are drawn over the same shapes.
            Domains of one family are never on two sides.
        mixed_share: Share of the training classes' gallery images in the mixed gallery; 0 for no
            mixed gallery.
        query_shares: Share that ``udcdr`` takes, for held-out domains where it is not
            ``QUERY_SHARE``.
        measures: The two measures that are published for this data set.
    """

    source: Source
    unseen: tuple[str, ...]
    gallery: str
    settings: tuple[RetrievalSetting, ...]
    families: Mapping[str, str] = field(default_factory=dict)
    mixed_share: float = MIXED_SHARE
    query_shares: Mapping[str, float] = field(default_factory=dict)
    measures: tuple[str, str] = ("map_200", "prec_200")

    def __post_init__(self) -> None:
        missing = sorted(set(self.unseen) - set(self.source.classes))
        if missing:
            raise InterlaceError(
                f"{self.source.name}: {len(missing)} of {len(self.unseen)} unseen classes are not "
                f"there: {', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}"
            )
        if not self.unseen or len(set(self.unseen)) == len(self.source.classes):
            raise InterlaceError(
                f"{self.source.name}: {len(self.unseen)} of {len(self.source.classes)} classes "
                "are unseen: some must be, and others must be left to train on"
            )
        for setting in self.settings:
            self._check(setting)

    def _check(self, setting: RetrievalSetting) -> None:
        roles = {"gallery": self.gallery, "held-out": setting.held_out, "seen": setting.seen}
        given = {role: name for role, name in roles.items() if name}
        for role, name in given.items():
            if name not in self.domains:
                raise InterlaceError(
                    f"{self.source.name}: no {role} domain '{name}': there are "
                    f"{', '.join(self.domains) or 'none'}"
                )
        names = list(given.values())
        if len({self._family(name) for name in names}) < len(names):
            raise InterlaceError(
                f"{self.source.name}: {', '.join(f'{r} {n}' for r, n in given.items())}: these "
                "must be different domains, and none drawn over another's shapes"
            )

    @property
    def name(self) -> str:
        """The source's name."""
        return self.source.name

    @cached_property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains, sorted."""
        return tuple(sorted({record.domain for record in self.source.records()} - {""}))

    def setting(self, name: str | None = None) -> RetrievalSetting:
        """Find a setting by its name.

        Args:
            name: Its held-out domain, or its seen domain if it holds none out; None where there is
                only one setting.

        Raises:
            InterlaceError: There is no such setting, or several and no name.
        """
        for setting in self.settings:
            if setting.name == name or (name is None and len(self.settings) == 1):
                return setting
        raise InterlaceError(
            f"{self.name}: setting '{name}': must be one of "
            f"{', '.join(setting.name for setting in self.settings)}"
        )

    def training_domains(self, setting: RetrievalSetting) -> tuple[str, ...]:
        """Name the domains that train: all but the held-out one and the test domains' families."""
        kept_away = {self._family(setting.held_out), self._family(self.gallery)}
        return tuple(
            name
            for name in self.domains
            if name == self.gallery or self._family(name) not in kept_away
        )

    def query_share(self, setting: RetrievalSetting) -> float:
        """Share of each training class's images that ``udcdr`` takes.

        0 without a held-out domain.
        """
        return self.query_shares.get(setting.held_out, QUERY_SHARE) if setting.held_out else 0.0

    def _family(self, domain: str) -> str:
        return self.families.get(domain, domain)


def unseen_by_hash(names: Iterable[str], share: float = UNSEEN_SHARE) -> tuple[str, ...]:
    """Choose unseen classes without looking at anything but their names.

    Those whose sha256 of the name comes first, a share of all rounded up.
    """
    ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    return tuple(sorted(ordered[: share_count(share, len(ordered))]))


def share_count(share: float, total: int) -> int:
    """Return a share of some images, rounded up, past what binary fractions add."""
    return math.ceil(share * total - 1e-9)
