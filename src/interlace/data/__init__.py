"""Data: folders, tables and sets become tasks."""

from typing import TYPE_CHECKING

from interlace._util.on_demand import on_demand

if TYPE_CHECKING:
    from interlace.backbone.preprocess import Preprocess
    from interlace.data.check import check
    from interlace.data.datasets.benchmarks import benchmark_names
    from interlace.data.datasets.registry import catalog_names
    from interlace.data.datasets.retrieval_sets import open_retrieval
    from interlace.data.images.decode import open_image, verify_image
    from interlace.data.images.loader import Images, batches
    from interlace.data.readers.columns import Columns
    from interlace.data.readers.stored_draws import read_draw
    from interlace.data.records import Record, Skipped
    from interlace.data.retrieval import RetrievalSet, RetrievalSetting
    from interlace.data.retrieval_task import RetrievalTask, draw_retrieval
    from interlace.data.source import Source
    from interlace.data.splits import Split
    from interlace.data.task import FewShotTask

__all__ = [
    "Columns",
    "FewShotTask",
    "Images",
    "Preprocess",
    "Record",
    "RetrievalSet",
    "RetrievalSetting",
    "RetrievalTask",
    "Skipped",
    "Source",
    "Split",
    "batches",
    "benchmark_names",
    "catalog_names",
    "check",
    "draw_retrieval",
    "open_image",
    "open_retrieval",
    "read_draw",
    "verify_image",
]

# what loads and prepares images needs torch, which takes seconds to import; tables and names do not
_HOMES = {
    "Columns": "data.readers.columns",
    "FewShotTask": "data.task",
    "Images": "data.images.loader",
    "Preprocess": "backbone.preprocess",
    "Record": "data.records",
    "RetrievalSet": "data.retrieval",
    "RetrievalTask": "data.retrieval_task",
    "RetrievalSetting": "data.retrieval",
    "Skipped": "data.records",
    "Source": "data.source",
    "Split": "data.splits",
    "batches": "data.images.loader",
    "catalog_names": "data.datasets.registry",
    "check": "data.check",
    "draw_retrieval": "data.retrieval_task",
    "benchmark_names": "data.datasets.benchmarks",
    "open_image": "data.images.decode",
    "open_retrieval": "data.datasets.retrieval_sets",
    "read_draw": "data.readers.stored_draws",
    "verify_image": "data.images.decode",
    # names of version 0.1 that are called otherwise today
    "Setting": "data.retrieval:RetrievalSetting",
    "field_names": "data.datasets.benchmarks:benchmark_names",
}

__getattr__ = on_demand(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
