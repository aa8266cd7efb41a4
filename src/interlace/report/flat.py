"""Results as flat rows: one for each summary, for JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from interlace._util.text import printable
from interlace.experiments.summaries import Summary
from interlace.report.results import Results

#: What stands for the data set in a row that averages over several.
AVERAGED = "(average)"

FIELDS = (
    "model fingerprint preset settings template protocol data data_sets shots condition severity "
    "method target measure n mean low high mean_of_seeds seeds values partial baseline pairs "
    "unpaired difference difference_low difference_high bootstrap_low bootstrap_high p p_holm "
    "wins ties losses wilcoxon_p wilcoxon_p_holm verdict"
).split()


def rows(results: Results) -> Iterator[dict[str, Any]]:
    """Return one flat row per summary, numbers as fractions; None where there is no value.

    ``wins``, ``ties`` and ``losses`` count data sets in an average, and seeds elsewhere.
    """
    for s in results.summaries():
        setup, condition = s.panel.setup, s.panel.condition
        yield dict.fromkeys(FIELDS) | {
            "model": setup.model,
            "fingerprint": setup.fingerprint,
            "preset": setup.preset,
            "settings": json.loads(setup.settings),
            "template": setup.template or None,
            "protocol": s.panel.protocol,
            "data": AVERAGED if s.averaged else s.data[0],
            "data_sets": list(s.data),
            "shots": s.panel.shots,
            "condition": condition.kind,
            "severity": condition.severity,
            "method": s.method,
            "target": s.target,
            "measure": s.measure,
            "n": len(s.seeds),
            "mean": s.mean,
            "low": s.interval.low,
            "high": s.interval.high,
            "mean_of_seeds": s.mean_of_seeds,
            "seeds": list(s.seeds),
            "values": list(s.values),
            "partial": s.partial,
            **_compared(s),
        }


def _compared(s: Summary) -> dict[str, Any]:
    compared = s.comparison
    if compared is None:
        return {}
    drawn, gain = compared.bootstrap(), compared.paired.difference
    counts = compared.over or compared.paired
    return {
        "baseline": compared.baseline,
        "pairs": len(compared.after),
        "unpaired": list(compared.unpaired),
        "difference": gain.mean,
        "difference_low": gain.low,
        "difference_high": gain.high,
        "bootstrap_low": drawn.low,
        "bootstrap_high": drawn.high,
        "p": compared.paired.p,
        "p_holm": compared.p_holm,
        "wins": counts.wins,
        "ties": counts.ties,
        "losses": counts.losses,
        "wilcoxon_p": compared.over and compared.over.p,
        "wilcoxon_p_holm": compared.over_p_holm,
        "verdict": s.verdict or "undecided",
    }


def to_csv(results: Results) -> str:
    """Write one line per summary; lists are joined by spaces.

    A text that begins like a formula gets an apostrophe, so that no spreadsheet computes it.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in rows(results):
        writer.writerow({name: _flat(value) for name, value in row.items()})
    return stream.getvalue()


def _flat(value: Any) -> Any:
    if isinstance(value, list):
        text = " ".join(map(str, value))
        if all(isinstance(item, int | float) for item in value):
            return text  # numbers begin with digits: none is negative
        value = text
    if isinstance(value, dict):
        value = json.dumps(value, sort_keys=True)
    if not isinstance(value, str):
        return value
    value = printable(value)
    return f"'{value}" if value.startswith(_FORMULA) else value


#: With which a spreadsheet begins a formula.
_FORMULA = ("=", "+", "-", "@")
