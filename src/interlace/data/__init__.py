"""Data: folders, tables and known sets, shots drawn by seed, images decoded and prepared."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlace.data.catalog import catalog_names
    from interlace.data.columns import Columns
    from interlace.data.doctor import check
    from interlace.data.fewshot_files import read_draw
    from interlace.data.field import field_names
    from interlace.data.images import open_image, verify_image
    from interlace.data.loader import Images, batches
    from interlace.data.records import Record, Skipped
    from interlace.data.retrieval import RetrievalSet, Setting
    from interlace.data.retrieval_sets import open_retrieval
    from interlace.data.retrieval_task import RetrievalTask, draw_retrieval
    from interlace.data.source import Source
    from interlace.data.splits import Split
    from interlace.data.task import FewShotTask
    from interlace.data.transforms import Preprocess

__all__ = [
    "Columns",
    "FewShotTask",
    "Images",
    "Preprocess",
    "Record",
    "RetrievalSet",
    "RetrievalTask",
    "Setting",
    "Skipped",
    "Source",
    "Split",
    "batches",
    "catalog_names",
    "check",
    "draw_retrieval",
    "field_names",
    "open_image",
    "open_retrieval",
    "read_draw",
    "verify_image",
]

# what loads and prepares images needs torch, which takes seconds to import; tables and names do not
_HOMES = {
    "Columns": "columns",
    "FewShotTask": "task",
    "Images": "loader",
    "Preprocess": "transforms",
    "Record": "records",
    "RetrievalSet": "retrieval",
    "RetrievalTask": "retrieval_task",
    "Setting": "retrieval",
    "Skipped": "records",
    "Source": "source",
    "Split": "splits",
    "batches": "loader",
    "catalog_names": "catalog",
    "check": "doctor",
    "draw_retrieval": "retrieval_task",
    "field_names": "field",
    "open_image": "images",
    "open_retrieval": "retrieval_sets",
    "read_draw": "fewshot_files",
    "verify_image": "images",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'interlace.data' has no attribute {name!r}")
    value = getattr(import_module(f"interlace.data.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
