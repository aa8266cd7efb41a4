"""Few-shot retrieval across classes and domains: shots, queries and galleries.

The protocols are those of Paul, Dutta and Biswas, "Universal Cross-Domain Retrieval", ICCV 2021,
https://arxiv.org/abs/2108.08356, with few shots as in MAIL (NeurIPS 2025). ``docs/retrieval.md``
says what is drawn and where this departs from released code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

from interlace._util.schema import check
from interlace.config import Size, check_seed
from interlace.data.names import resolve_class_names
from interlace.data.records import Record
from interlace.data.retrieval import RetrievalSet, RetrievalSetting, share_count
from interlace.data.splits import draw_order, group_by_label, keys_of
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError

if TYPE_CHECKING:
    from interlace.backbone.prompts import Template

RetrievalKey = Literal["ucdr", "uccdr", "udcdr"]

_TEST_SEED = 0  # what is tested on is the same for every seed of the shots


@dataclass(frozen=True, slots=True)
class RetrievalTarget:
    """Queries, and the gallery that they search.

    Attributes:
        name: Protocol and route, such as ``"ucdr/sketch->real"``.
        queries: Images to search with; their labels index the classes of the task.
        gallery: Images that are searched, labelled likewise.
    """

    name: str
    queries: tuple[Record, ...]
    gallery: tuple[Record, ...]


@dataclass(frozen=True)
class RetrievalTask:
    """Few-shot retrieval: what to fit on, and what is then searched.

    Attributes:
        fit: The shots, over the training classes alone.
        classes: Names of all classes, which the labels of queries and gallery index.
        targets: What is searched, by name: ``"ucdr/sketch->real"``, and with the training classes'
            images in the gallery ``"ucdr/sketch->real/mixed"``.
        measures: The two measures that are published for the data set.
    """

    fit: FewShotTask
    classes: tuple[str, ...]
    targets: Mapping[str, RetrievalTarget] = field(default_factory=dict)
    measures: tuple[str, str] = ("map_200", "prec_200")

    @property
    def name(self) -> str:
        """Data set and held-out domain."""
        return self.fit.name

    @property
    def train_classes(self) -> tuple[str, ...]:
        """Names of the classes that train."""
        return self.fit.classes

    @property
    def template(self) -> Template:
        """The prompt, with ``{}`` where the class name goes, or several."""
        return self.fit.template

    @cached_property
    def split_hash(self) -> str:
        """The sha256 of shots, queries and galleries."""
        targets = {
            name: [keys_of(target.queries), keys_of(target.gallery)]
            for name, target in self.targets.items()
        }
        content = json.dumps([self.fit.split_hash, targets], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def describe(self) -> str:
        """Summarise shots, queries and galleries in one line."""
        domains = sorted({record.domain for record in self.fit.train})
        parts = [
            f"{self.name}: {len(self.fit.train)} training images of {len(self.fit.classes)} "
            f"classes in {', '.join(domains)} (at most {self.fit.shots} each, seed {self.fit.seed})"
        ]
        parts += [
            f"{name}: {len(target.queries)} queries in {len(target.gallery)} images"
            for name, target in self.targets.items()
        ]
        return "; ".join(parts)


def draw_retrieval(
    data: RetrievalSet,
    protocol: RetrievalKey,
    shots: int = 2,
    seed: int = 1,
    setting: RetrievalSetting | str | None = None,
) -> RetrievalTask:
    """Draw shots, queries and galleries.

    The shots depend on the seed and the held-out domain, and not on the protocol: one fit serves
    all protocols of a setting. Queries and galleries do not depend on the seed. A class that has
    fewer images in a domain than there are shots gives all of them.

    Args:
        data: The images, and what is kept from training.
        protocol: ``"ucdr"``, ``"uccdr"`` or ``"udcdr"``.
        shots: Images per training class and training domain.
        seed: Seed of the shots (``splits.draw_order``).
        setting: What is held out, or its name; None where there is only one setting.

    Raises:
        InterlaceError: An argument is not as described, the setting has no domain for the
            protocol, or a class, the queries or the gallery have no image.
    """
    if protocol not in get_args(RetrievalKey):
        raise InterlaceError(f"protocol '{protocol}': must be ucdr, uccdr or udcdr")
    check("shots", shots, Size)
    check_seed(seed)
    if not isinstance(setting, RetrievalSetting):
        setting = data.setting(setting)
    asking = setting.seen if protocol == "uccdr" else setting.held_out
    if not asking:
        which = "seen" if protocol == "uccdr" else "held-out"
        raise InterlaceError(f"{data.name}: {protocol} needs a {which} domain for its queries")
    unseen = set(data.unseen)
    known = [name not in unseen for name in data.source.classes]
    pools: dict[str, list[list[Record]]] = {}
    for name in data.domains:
        own = (record for record in data.source.records() if record.domain == name)
        # the order of the test draw: what is set aside is the beginning of each class
        pools[name] = group_by_label(draw_order(own, _TEST_SEED), len(known))

    def unseen_of(name: str) -> list[Record]:
        return _joined(own for own, seen in zip(pools[name], known, strict=True) if not seen)

    def share_of(name: str, share: float) -> list[Record]:
        kept = (own for own, seen in zip(pools[name], known, strict=True) if seen)
        return _joined(own[: share_count(share, len(own))] for own in kept)

    route = f"{protocol}/{asking}->{data.gallery}"
    share = data.query_share(setting)
    if protocol == "udcdr":
        targets = {route: (share_of(asking, share), share_of(data.gallery, share))}
    else:
        queries, gallery = unseen_of(asking), unseen_of(data.gallery)
        targets = {route: (queries, gallery)}
        if data.mixed_share:
            mixed = gallery + share_of(data.gallery, data.mixed_share)
            targets[f"{route}/mixed"] = (queries, mixed)
    for name, (queries, gallery) in targets.items():
        if not queries or not gallery:
            what = "queries" if not queries else "gallery images"
            raise InterlaceError(f"{data.name}, {name}: there are no {what}")
    classes = data.source.classes
    if not data.source.cleaned:
        classes = resolve_class_names(classes, None)
    return RetrievalTask(
        _shots(data, classes, known, pools, setting, shots, seed),
        classes,
        {name: RetrievalTarget(name, tuple(q), tuple(g)) for name, (q, g) in targets.items()},
        data.measures,
    )


def _shots(
    data: RetrievalSet,
    classes: Sequence[str],
    known: Sequence[bool],
    pools: Mapping[str, Sequence[Sequence[Record]]],
    setting: RetrievalSetting,
    shots: int,
    seed: int,
) -> FewShotTask:
    """Draw the shots of every training class in every training domain."""
    aside = max(data.mixed_share, data.query_share(setting))
    labels = [label for label, seen in enumerate(known) if seen]
    train: list[Record] = []
    for new, label in enumerate(labels):
        drawn: list[Record] = []
        for domain in data.training_domains(setting):
            own = pools[domain][label]
            if domain == data.gallery:
                own = own[share_count(aside, len(own)) :]
            drawn += draw_order(own, seed)[:shots]
        if not drawn:
            raise InterlaceError(
                f"{data.name}: class '{classes[label]}' has no image to train on in "
                f"{', '.join(data.training_domains(setting))}"
            )
        train += [replace(record, label=new) for record in drawn]
    return FewShotTask(
        name=f"{data.name}:{setting.name}",
        classes=tuple(classes[label] for label in labels),
        train=tuple(train),
        val=(),
        test=(),
        template=data.source.template,
        shots=shots,
        seed=seed,
        skipped=data.source.skipped,
        order=data.source.order,
        hidden=data.source.hidden,
        notes=(*data.source.problems, *data.source.notes),
    )


def _joined(groups: Iterable[Sequence[Record]]) -> list[Record]:
    return [record for group in groups for record in group]
