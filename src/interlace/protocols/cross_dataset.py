"""Cross-dataset: fit on all classes of one data set, score others without any of their images.

Zhou et al., "Conditional Prompt Learning for Vision-Language Models", 2022,
https://arxiv.org/abs/2203.05557.
"""

from __future__ import annotations

from interlace.data.datasets.benchmark_table import CROSS_DATASET_TARGETS
from interlace.data.datasets.benchmarks import find_benchmark
from interlace.data.datasets.registry import is_known, siblings
from interlace.errors import InterlaceError
from interlace.protocols.base import TransferProtocol
from interlace.protocols.classification import ClassificationPlan, Target
from interlace.protocols.setting import Setting


class CrossDataset(TransferProtocol[Target]):
    """One data set to others; the targets keep their own classes and prompts.

    Of ``suite``, its source alone is fitted on. An image of a target that the fit has used is not
    scored: the data sets of ``picto`` share some.
    """

    name = "cross_dataset"
    summary = "Fit on one data set, score others with their own classes (2203.05557)."

    def plan(self, setting: Setting) -> ClassificationPlan:
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
        return ClassificationPlan(task, (*source, *others))


def default_targets(setting: Setting) -> tuple[str, ...]:
    """Return the other data sets of the source's kind: the published targets, or its collection.

    Raises:
        InterlaceError: if the source is of no such kind.
    """
    if is_known(setting.data, setting.root):
        entry = find_benchmark(setting.data)
        if entry is not None:
            return tuple(name for name in CROSS_DATASET_TARGETS if name != entry.name)
        if others := tuple(name for name in siblings(setting.data) if name != setting.data):
            return others
    raise InterlaceError(
        f"cross_dataset from {setting.data}: name the data sets to score with --targets"
    )
