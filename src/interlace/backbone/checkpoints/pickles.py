"""PyTorch's own weight files (.pt, .pth, .bin), of which nothing but tensors is ever made.

``torch.load(weights_only=True)`` calls no code of the file. Before it may run, the instructions of
the file are read without being followed: classes other than those of tensors, values that unfold
to more than the file can mean, and packed or overlapping records are refused.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from interlace._util.reading import check_regular
from interlace._util.text import first_line, printable
from interlace.errors import InterlaceError

#: File endings of PyTorch's weight files.
PICKLED = (".pt", ".pth", ".bin", ".ckpt")

#: Bytes of instructions that a weight file may have; a thousand tensors need 200,000.
_INSTRUCTION_BYTES = 16 << 20
#: Parts that one value may unfold to, above twenty for each instruction.
_PARTS = 100_000
#: Entries in which training keeps the weights, in the order in which they count.
_WRAPPED = ("state_dict", "model_state_dict", "model", "module", "ema")
#: Names of storages and of types of numbers, which tensors are made with.
_NAMED = re.compile(r"torch(\.storage)? \w*Storage|torch (b?float|int|uint|complex)\d+|torch bool")
#: What may be called; all of it makes tensors and shapes of what is there.
_CALLED = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch Size",
        "torch device",
    }
)


def read_pickled(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a PyTorch file, taken out of whatever training wrapped them in.

    Args:
        path: a file that ``torch.save`` wrote: a state dict, or a dictionary that holds one under
            ``state_dict``, ``model_state_dict``, ``model``, ``module`` or ``ema``. Where there
            are several, the first of these counts.

    Raises:
        InterlaceError: if it is another file, or holds more than tensors, numbers and text.
    """
    shown = printable(str(path))
    check_regular(path)
    zipped = zipfile.is_zipfile(path)
    try:
        _check_archive(path) if zipped else _check_stream(path)
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped or None)
    except InterlaceError as error:
        raise InterlaceError(f"{shown}: {error}") from None
    except Exception as error:  # torch raises whatever its parts do
        raise InterlaceError(
            f"{shown}: cannot be read as a PyTorch file of tensors ({first_line(error)})"
        ) from None
    return _unwrapped(found, shown)


def _unwrapped(found: Any, shown: str) -> dict[str, Tensor]:
    for _ in range(4):
        if not isinstance(found, Mapping) or _has_tensors(found):
            break
        found = next(
            (found[name] for name in _WRAPPED if isinstance(found.get(name), Mapping)), None
        )
    if not isinstance(found, Mapping) or not _has_tensors(found):
        raise InterlaceError(
            f"{shown}: holds no state dict, alone or under {', '.join(map(repr, _WRAPPED))}"
        )
    if not all(isinstance(name, str) for name in found):
        raise InterlaceError(f"{shown}: the names of its tensors are not text")
    # integers and the like that some training code keeps beside the tensors are not weights
    return {name: value.detach() for name, value in found.items() if isinstance(value, Tensor)}


def _has_tensors(found: Mapping[Any, Any]) -> bool:
    return any(isinstance(value, Tensor) for value in found.values())


def _check_archive(path: Path) -> None:
    """Check the zip archive that torch.save writes since 1.6."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = {entry.filename.split("/", 1)[-1] for entry in entries}
            if "constants.pkl" in names or any(name.startswith("code/") for name in names):
                raise InterlaceError(
                    "a TorchScript archive, which is a program and is not run here: where you "
                    "trust it, convert it with torch.save(torch.jit.load(FILE).state_dict(), OUT)"
                )
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or (
                sum(entry.file_size for entry in entries) > path.stat().st_size
            ):
                raise InterlaceError("packed or overlapping records, which torch.save never writes")
            programs = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
            if len(programs) != 1:
                raise InterlaceError("a zip archive that torch.save did not write (no data.pkl)")
            if programs[0].file_size > _INSTRUCTION_BYTES:
                raise InterlaceError("holds more than tensors: too many other values")
            _check_instructions(io.BytesIO(archive.read(programs[0])))
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError) as error:
        raise InterlaceError(f"a damaged archive ({first_line(error)})") from None


def _check_stream(path: Path) -> None:
    """Check the older format: three short pickles, the object, a list of storages, then bytes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(2)
        if start[:1] != b"\x80":
            raise InterlaceError(
                "not a file that torch.save wrote; a tar of the first PyTorch versions is not read"
            )
        file.seek(0)
        for number in range(5):
            _check_instructions(file, None if number < 3 else size)


def _check_instructions(file: IO[bytes], largest: int | None = None) -> None:
    """Follow a pickle's stack without making anything.

    A tuple built of itself again and again takes a few bytes and an age to hash, so the parts that
    every value would unfold to are counted.

    Args:
        file: the pickle; read up to its end.
        largest: integers above this are refused, since sizes of storages would be allocated.
    """
    start = file.tell()
    stack: list[Any] = []  # parts of each value, or the name of a class, or the mark
    memo: dict[Any, Any] = {}
    count = 0
    for count, (code, argument, _) in enumerate(pickletools.genops(file), 1):
        name = code.name
        if file.tell() - start > _INSTRUCTION_BYTES:
            raise InterlaceError("holds more than tensors: too many other values")
        if name in ("GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4"):
            known = str(argument)
            if name != "GLOBAL" or not (known in _CALLED or _NAMED.fullmatch(known)):
                what = known.replace(" ", ".") if argument else "an object"
                raise InterlaceError(
                    f"holds more than tensors ({printable(what)}) and is not opened; save it again "
                    "with torch.save(model.state_dict(), FILE)"
                )
            stack.append(known)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MARK":
            stack.append(pickletools.markobject)
        else:
            if isinstance(argument, int) and largest is not None and argument > largest:
                raise InterlaceError(f"states a size of {argument:,}, more than the file has")
            parts = _popped(stack, code)
            if name in ("REDUCE", "NEWOBJ") and parts[0] not in _CALLED:
                raise InterlaceError("holds more than tensors and is not opened")
            total = 1 + sum(part if isinstance(part, int) else 1 for part in parts)
            if total > 20 * count + _PARTS:
                raise InterlaceError("holds a value that unfolds to more than the file can mean")
            if code.stack_after:
                stack.append(total)


def _popped(stack: list[Any], code: pickletools.OpcodeInfo) -> list[Any]:
    """Pop the operands of an instruction off the stack, in the order they were pushed."""
    before = code.stack_before
    parts: list[Any] = []
    if pickletools.markobject in before:
        while (top := stack.pop()) is not pickletools.markobject:
            parts.append(top)
        before = before[: before.index(pickletools.markobject)]
    for _ in before:
        parts.append(stack.pop())
    return parts[::-1]


def is_pickled(path: str | Path) -> bool:
    """Return whether a file's ending is one of PyTorch's."""
    return Path(path).suffix.lower() in PICKLED
