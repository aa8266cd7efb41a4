"""Search in one's own images, and vectors of many images.

``gallery`` is the public part; ``encoder`` makes vectors, ``scan`` says what changed in a folder,
``pipeline`` decodes ahead of the encoder, ``table`` keeps the vectors, ``index`` finds the nearest,
``sheet`` draws what was found. ``embed`` writes the vectors of a source to one parquet file.
"""

from interlace.search.gallery import BuildReport, Gallery, Hit

__all__ = ["BuildReport", "Gallery", "Hit"]
