"""What the record of a cell may hold: the one schema by which every record is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from interlace._util.text import printable
from interlace.errors import InterlaceError

CELL_FORMAT = "interlace.cell/1"

#: What a target holds beside its measures, which are fractions.
NO_MEASURE = ("n", "n_queries", "n_gallery", "n_left_out", "details")

_Text = Annotated[str, Field(max_length=100_000)]
_Count = Annotated[int, Field(ge=0, lt=1 << 53)]
_Whole = Annotated[int, Field(ge=-(1 << 63), lt=1 << 64)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Fraction = Annotated[float, Field(ge=0, le=1)]
_Scalar = _Text | bool | int | _Number | None


class _Fields(BaseModel):
    """Fields of another version are let by: a report shows what it knows."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Condition(_Fields):
    kind: _Text = "clean"
    severity: _Number = 0.0


class _Spec(_Fields):
    protocol: _Text
    data: _Text
    method: Annotated[str, Field(min_length=1, max_length=100_000)]
    shots: _Count
    seed: _Whole
    model: _Text
    settings: dict[str, Any] | None = None
    targets: list[_Text] | None = None
    condition: _Condition | None = None
    preset: _Text | None = None
    template: _Text | None = None
    split: _Text | None = None


class _Run(_Fields):
    arguments: dict[str, Any] | None = None
    train: dict[str, Any] | None = None
    preset: _Text | None = None


class _Backbone(_Fields):
    source: _Text | None = None
    fingerprint: _Text | None = None


class _Mistake(_Fields):
    key: _Text
    truth: _Text
    answer: _Text
    probability: _Fraction
    thumbnail: str | None = None


class _Details(_Fields):
    classes: list[_Text] | None = None
    counts: list[Annotated[list[_Count], Field(min_length=3, max_length=3)]] | None = None
    #: as of before there were counts: all cells of the matrix
    confusion: list[list[_Count]] | None = None
    mistakes: list[_Mistake] | None = None

    @model_validator(mode="after")
    def _square(self) -> _Details:
        n_classes = len(self.classes or ())
        if self.confusion is not None:
            sizes = {len(self.confusion), *map(len, self.confusion)}
            if sizes != {n_classes}:
                raise ValueError("the confusion matrix does not fit the classes")
        if any(max(cell[:2]) >= n_classes for cell in self.counts or ()):
            raise ValueError("the confusion matrix does not fit the classes")
        return self


class _Record(_Fields):
    format: Literal["interlace.cell/1"]
    id: _Text
    spec: _Spec
    status: Literal["done", "failed"]
    error: dict[str, _Scalar] | None = None
    run: _Run | None = None
    tuned: _Text | None = None
    split_hash: _Text | None = None
    backbone: _Backbone | None = None
    parameters: _Count | None = None
    metrics: dict[str, dict[str, Any] | None] | None = None
    seconds: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] | None = None
    peak_memory: _Whole | _Number | None = None
    machine: dict[str, _Scalar] | None = None
    versions: dict[str, _Scalar] | None = None
    commit: _Text | None = None
    uncommitted_changes: bool | None = None
    date: _Text | None = None

    @field_validator("metrics")
    @classmethod
    def _fractions(cls, metrics: dict[str, Any] | None) -> dict[str, Any] | None:
        for target, measures in (metrics or {}).items():
            for name, value in (measures or {}).items():
                if name == "details":
                    if value is not None:
                        _Details.model_validate(value)
                elif not _fits(name, value):
                    shown = printable(f"{target}, {name} = {str(value)[:80]}")
                    raise ValueError(f"{shown}: out of range")
        return metrics

    @model_validator(mode="after")
    def _whole(self) -> _Record:
        if self.status == "done" and not self.metrics:
            raise ValueError("done, and no metrics")
        return self


def _fits(name: str, value: Any) -> bool:
    """Say whether a value may stand under a name; texts and the like are not measures."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    if name in NO_MEASURE:
        return value >= 0
    return value != value or 0 <= value <= 1  # one that is none is left out by who reads it


def clean(value: Any) -> Any:
    """Give plain data with texts that any page, table and drawing can hold."""
    if isinstance(value, str):
        return printable(value, keep="\n")
    if isinstance(value, Mapping):
        return {printable(str(key)): clean(own) for key, own in value.items()}
    if isinstance(value, list):
        return [clean(own) for own in value] if not _is_flat(value) else value
    return value


def _is_flat(values: list[Any]) -> bool:
    """Say whether a list is a row of numbers, as those of large confusion matrices are."""
    return all(type(value) in (int, float) for value in values)


def check_record(record: Any) -> Mapping[str, Any]:
    """See that plain data is the record of a cell.

    Args:
        record: what a file held.

    Returns:
        The record, as it is.

    Raises:
        InterlaceError: saying what of it is wrong.
    """
    if not isinstance(record, dict) or record.get("format") != CELL_FORMAT:
        raise InterlaceError(f"no cell of the format {CELL_FORMAT}")
    try:
        _Record.model_validate(clean(record))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part)[:80] for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ").splitlines()[0]
        raise InterlaceError(printable(f"{place}: {reason}" if place else reason)) from None
    return record
