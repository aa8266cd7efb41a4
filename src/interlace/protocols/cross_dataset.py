"""Cross-dataset: fit on all classes of one data set, score others without any of their images.

Zhou et al., "Conditional Prompt Learning for Vision-Language Models", 2022,
https://arxiv.org/abs/2203.05557.
"""

from __future__ import annotations

from interlace.data.datasets.benchmarks import BENCHMARKS, find_benchmark
from interlace.data.datasets.registry import catalog_names, is_catalog_name, is_known
from interlace.errors import InterlaceError
from interlace.protocols.base import Plan, Protocol, Setting, Target


class CrossDataset(Protocol):
    """One data set to others; the targets keep their own classes and prompts.

    An image of a target that the fit has used is not scored: the data sets of ``picto`` share some.
    """

    name = "cross_dataset"
    summary = "Fit on one data set, score others with their own classes (2203.05557)."

    def plan(self, setting: Setting) -> Plan:
        """Return the source as a few-shot task; itself and every other data set as targets.

        Raises:
            InterlaceError: if no target is named and none follows from the source.
        """
        task = setting.draw()
        others = [
            Target(name, setting.other(name), seen=False)
            for name in setting.targets or default_targets(setting)
        ]
        source = [Target("source", task, seen=True)] if task.test else []
        return Plan(task, (*source, *others))


def default_targets(setting: Setting) -> tuple[str, ...]:
    """Return the other data sets of the source's kind: the field's, or those of its collection.

    Raises:
        InterlaceError: if the source is of no such kind.
    """
    if is_known(setting.data, setting.root):
        entry = find_benchmark(setting.data)
        if entry is None and is_catalog_name(setting.data):
            prefix = setting.data.partition("/")[0] + "/"
            names = (n for n in catalog_names() if n.startswith(prefix) and n != setting.data)
            return tuple(names)
        if entry is not None:
            # the variants of ImageNet only test: they belong to domain generalization
            own = (other for other in BENCHMARKS.values() if other.totals.train is not None)
            return tuple(o.name for o in own if o.name not in (entry.name, "imagenet"))
    raise InterlaceError(
        f"cross_dataset from {setting.data}: name the data sets to score with --targets"
    )
