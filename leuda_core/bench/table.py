"""The table of a bench, as text: one for each dataset, the best Dice first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leuda_core.bench.results import by_dataset

COLUMNS = {
    "method": "method",
    "augmentation": "augmentation",
    "seeds": "seeds",
    "dice": "Dice",
    "dice_std_seeds": "sd seeds",
    "dice_std_cases": "sd cases",
    "difference": "against best control (95 % CI)",
    "gap_closed": "gap closed",
    "hd95_mm": "HD95 mm",
    "asd_mm": "ASD mm",
    "missed": "missed",
    "minutes": "minutes",
    "peak_memory_mib": "MiB",
}
_FORMATS = {
    **dict.fromkeys(("dice", "dice_std_seeds", "dice_std_cases"), ".3f"),
    **{"gap_closed": ".2f", "hd95_mm": ".1f", "asd_mm": ".2f", "minutes": ".1f"},
}


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the Markdown of ``rows``."""
    parts = []
    for dataset, mine in by_dataset(found).items():
        lines = ["| " + " | ".join(COLUMNS.values()) + " |", "|---" * len(COLUMNS) + "|"]
        lines += ["| " + " | ".join(cells(row, "`{}`")) + " |" for row in mine]
        parts += [f"### {dataset}", "", *lines, ""]
    return "\n".join(parts)


def cells(row: Mapping[str, Any], method: str = "{}") -> list[str]:
    """Return the cells of a row of ``COLUMNS``; ``method`` is how its name is written."""
    texts = {name: "" if row[name] is None else format(row[name], _FORMATS.get(name, "")) for name in COLUMNS}
    return list((texts | {"method": method.format(row["method"]), "difference": _difference(row)}).values())


def _difference(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return ""
    interval = f" ({row['interval'][0]:+.3f} to {row['interval'][1]:+.3f})" if row["interval"] else ""
    return f"{row['difference']:+.3f}{interval}"
