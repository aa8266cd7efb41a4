"""Domain generalization: fit in some domains, score the same classes in others.

As published, ImageNet to its variants: Zhou et al., "Conditional Prompt Learning for
Vision-Language Models", 2022, https://arxiv.org/abs/2203.05557. The same for one data set whose
images say their domain, such as drawings by several hands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from interlace.data.datasets.benchmark_table import (
    DOMAIN_GENERALIZATION_TARGETS,
    SOURCE_DATA_SET,
)
from interlace.data.datasets.benchmarks import find_benchmark
from interlace.data.datasets.registry import is_known, shifted
from interlace.data.records import Record
from interlace.data.source import Source
from interlace.errors import InterlaceError
from interlace.protocols.base import TransferProtocol
from interlace.protocols.classification import ClassificationPlan, Target
from interlace.protocols.setting import Setting


class DomainGeneralization(TransferProtocol[Target]):
    """Some domains to others; the fitted classes are scored as data that was not trained on.

    The targets are data sets (by default the variants of ImageNet or of ``suite/kinds``, where one
    of these is the source) or domains of the source: by default those that only its test images
    are from. ``source`` is scored besides on images of the training domains that the fit has not
    used.
    """

    name = "domain_generalization"
    summary = "Fit in some domains, score the same classes in others (2203.05557)."

    def plan(self, setting: Setting) -> ClassificationPlan:
        """Keep all images of the held-out domains away from the fit.

        Raises:
            InterlaceError: if the source says no domains and no target is named, or a target is
                neither a domain nor a data set.
        """
        source = setting.source()
        targets = setting.targets or default_targets(setting)
        domains = _domains(source.records())
        if targets and not set(targets) & domains:
            return self._data_sets(setting, targets)
        unknown = sorted(set(targets) - domains)
        if unknown:
            raise InterlaceError(
                f"{setting.data} has no domain {', '.join(unknown)}; it has "
                f"{', '.join(sorted(domains - {''}))}"
            )
        pools = source.pools
        held = set(targets) or _domains(pools.get("test", ())) - _domains(pools.get("train", ()))
        if not held or not domains - held:
            raise InterlaceError(
                f"{setting.data}: which domains are held out does not follow from its images: name "
                "them, or data sets to score, with --targets"
            )
        return self._held_out(setting, source, held)

    def _data_sets(self, setting: Setting, targets: tuple[str, ...]) -> ClassificationPlan:
        task = setting.draw()
        source = [Target("source", task, seen=True)] if task.test else []
        others = [Target(name, setting.other(name), seen=False) for name in targets]
        for target in others:
            new = sorted(set(target.task.classes) - set(task.classes))
            if new:
                raise InterlaceError(
                    f"{target.name} has {len(new)} classes that {setting.data} has not, such as "
                    f"{new[0]!r}: cross_dataset is for that"
                )
        return ClassificationPlan(task, (*source, *others))

    def _held_out(self, setting: Setting, source: Source, held: set[str]) -> ClassificationPlan:
        inside = {
            part: [record for record in records if record.domain not in held]
            for part, records in source.pools.items()
        }
        if not inside.get("val"):
            inside.pop("val", None)  # validation shots then come from what the shots leave over
        task = setting.draw(replace(source, pools=inside))
        used = {record.key for record in (*task.train, *task.val)}
        # where the test images are all of other domains, what the shots left over tests the source
        unused = task.test or tuple(r for r in inside.get("train", ()) if r.key not in used)
        found = [Target("source", replace(task, test=tuple(unused)), seen=True)] if unused else []
        tests = source.pools.get("test", ())
        for domain in sorted(held):
            own = [record for record in tests if record.domain == domain]
            own = own or [record for record in source.records() if record.domain == domain]
            found.append(Target(domain, replace(task, test=tuple(own)), seen=False))
        return ClassificationPlan(task, tuple(found))


def default_targets(setting: Setting) -> tuple[str, ...]:
    """Return the variants of ImageNet or of the suite's source, and none for any other source."""
    if not is_known(setting.data, setting.root):
        return ()
    entry = find_benchmark(setting.data)
    if entry is None:
        return shifted(setting.data)
    return DOMAIN_GENERALIZATION_TARGETS if entry.name == SOURCE_DATA_SET else ()


def _domains(records: Iterable[Record]) -> set[str]:
    return {record.domain for record in records}
