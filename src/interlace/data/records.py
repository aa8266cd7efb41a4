"""What a data set is made of: an image somewhere, its label and a stable name."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


def digest_of(content: bytes) -> str:
    """Hash of encoded bytes: the same picture under any name, 16 hex digits."""
    return hashlib.sha256(content).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Record:
    """One labelled image that has not been decoded.

    Attributes:
        image: Path of the file, or the encoded bytes themselves.
        label: Index into the class names of the task the record belongs to.
        key: Identity that outlives moves and re-ordering, such as ``"cat/1.jpg"`` or
            ``"picto:123"``.
        domain: Where the image comes from (a drawing style, a camera); ``""`` if that is not known.
        noise: Standard deviation of the Gaussian noise laid on the decoded image, where 1 is the
            step from black to white; for studies of robustness.
    """

    image: Path | bytes
    label: int
    key: str
    domain: str = ""
    noise: float = 0.0

    def digest(self) -> str:
        """Hash of the encoded image: the same picture under any name, 16 hex digits."""
        content = self.image if isinstance(self.image, bytes) else self.image.read_bytes()
        return digest_of(content)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was left out, and why."""

    key: str
    reason: str
