"""Data: folders, tables and known sets, shots drawn by seed, images decoded and prepared."""

from interlace.data.catalog import catalog_names
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
