"""Data: folders and embedded sets, shots drawn by seed, images decoded and prepared."""

from interlace.data.catalog import catalog_names
from interlace.data.images import open_image, verify_image
from interlace.data.loader import Images, batches
from interlace.data.records import Record, Skipped
from interlace.data.splits import Split
from interlace.data.task import FewShotTask
from interlace.data.transforms import Preprocess

__all__ = [
    "FewShotTask",
    "Images",
    "Preprocess",
    "Record",
    "Skipped",
    "Split",
    "batches",
    "catalog_names",
    "open_image",
    "verify_image",
]
