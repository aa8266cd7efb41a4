"""What is measured: names and order of measures, targets and protocols, and which way is better."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: The harmonic mean of base and novel, a target that is computed here.
HARMONIC = "hm"
#: The mean over data sets, or over a run's targets other than its source; computed here.
AVERAGE = "average"

HM_DEFINITION = (
    "HM is the harmonic mean of the averaged base and novel accuracy, as published tables have it"
)

AP_DEFINITIONS = {
    "map": "AP@k as published in this field: divided by the relevant items among the first k.",
    "standard_map": "Standard AP@k: divided by all relevant items in the gallery.",
}


@dataclass(frozen=True, slots=True)
class Measure:
    """What tables and axes need to know of a measure.

    Attributes:
        key: its name in a cell.
        label: its name for people.
        higher: whether more of it is better.
        harmonic: whether base and novel have a harmonic mean that means something.
    """

    key: str
    label: str
    higher: bool = True
    harmonic: bool = False

    @property
    def title(self) -> str:
        """The label as a sentence begins with it; mAP stays what it is."""
        if self.label.startswith("mAP"):
            return self.label
        return self.label[:1].upper() + self.label[1:]


#: In the order in which a report prefers and lists them.
MEASURES = {
    measure.key: measure
    for measure in (
        Measure("top1", "top-1 accuracy", harmonic=True),
        Measure("mean_per_class", "mean per-class accuracy", harmonic=True),
        Measure("ece", "expected calibration error", higher=False),
    )
}
_AT = re.compile(r"(map|standard_map|prec|recall)_(\d+|all)")
_AT_LABELS = {
    "map": "mAP",
    "standard_map": "standard mAP",
    "prec": "precision",
    "recall": "recall",
}

_PROTOCOLS = {
    "base_to_novel": "Base to novel",
    "few_shot": "Few-shot classification",
    "cross_dataset": "Cross-dataset transfer",
    "domain_generalization": "Domain generalization",
    "robustness": "Robustness",
    "ucdr": "Retrieval: unseen classes, unseen domain",
    "uccdr": "Retrieval: unseen classes, seen domain",
    "udcdr": "Retrieval: seen classes, unseen domain",
    "retrieval": "Retrieval across classes and domains",
}
#: Targets in their order, but for those of transfer, which have names of their own.
_TARGETS = (
    *("source", "base", "novel", HARMONIC, "joint", "all"),
    *("ucdr", "ucdr/mixed", "uccdr", "uccdr/mixed", "udcdr"),
)


def measure(key: str) -> Measure:
    """Describe a measure; one that is not known is a fraction of which more is better."""
    found = _AT.fullmatch(key)
    if found:
        return Measure(key, f"{_AT_LABELS[found[1]]}@{found[2]}")
    return MEASURES.get(key) or Measure(key, key.replace("_", " "))


def definition(key: str) -> str | None:
    """Define a measure that has more than one definition in use; None for any other."""
    found = _AT.fullmatch(key)
    # over the whole gallery the definitions agree
    return None if found is None or found[2] == "all" else AP_DEFINITIONS.get(found[1])


def measure_order(key: str) -> int:
    """Sort measures: known ones first, the headline before all."""
    known = list(MEASURES)
    return known.index(key) if key in known else len(known)


def protocol_label(key: str) -> str:
    """Name a protocol for people."""
    return _PROTOCOLS.get(key) or key.replace("_", " ").capitalize()


def protocol_order(key: str) -> tuple[int, str]:
    """Sort protocols."""
    known = list(_PROTOCOLS)
    return (known.index(key) if key in known else len(known), key)


def target_label(key: str) -> str:
    """Name a target for people."""
    return "HM" if key == HARMONIC else key


def target_order(key: str) -> tuple[int, str]:
    """Sort targets: source, base, novel, HM, joint; the others by name; their average."""
    if key == AVERAGE:
        return (len(_TARGETS) + 1, "")
    return (_TARGETS.index(key), "") if key in _TARGETS else (len(_TARGETS), key)
