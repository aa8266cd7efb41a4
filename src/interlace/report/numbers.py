"""Numbers as a reader sees them: percent, points, probabilities, amounts."""

from __future__ import annotations


def percent(value: float | None, digits: int = 1) -> str:
    """Format a fraction as percent without the sign; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.{digits}f}"


def points(value: float | None, digits: int = 1) -> str:
    """Format a difference of fractions in percentage points, with its sign."""
    if value is None:
        return "–"
    text = f"{100 * value:+.{digits}f}".replace("-", "−")
    return text if text.strip("+−0.") else text[1:]


def p_value(value: float | None) -> str:
    """Format a probability: three decimals, or that it is smaller."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def with_commas(value: float | None, digits: int = 0) -> str:
    """Format an amount with commas between thousands."""
    return "–" if value is None else f"{value:,.{digits}f}"


def mebibytes(value: float | None) -> str:
    """Format a number of bytes in MiB."""
    return with_commas(None if value is None else value / 2**20)


def short_amount(value: float) -> str:
    """Format an amount with three digits and k, M or G, as axes show it."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
