"""Fill the tables of docs/RESULTS.md from the results that ``leuda bench`` stored.

    python Testing/benchmarks/results_tables.py [--check] [DOCUMENT]

A table stands between two comments. The first says what is in it, one ``key: value`` per line; a line that begins with
a space continues the one before. Keys are those of ``result_cells.Selection``, which then hold for all rows, and

- ``rows: key = value; key = value``: rows to add, one per method, with what differs for them;
- ``columns: name = title; name``: names of ``result_cells.TITLES``, with titles of their own where needed;
- ``order: dice``: the best Dice first, otherwise as listed.

A table of the loop of corrections stands between ``<!-- loop FILE -->`` and its end; see ``loop_tables``.

With ``--check`` nothing is written, and the exit status is 1 where document and results differ.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from loop_tables import loop_table
from result_cells import TITLES, ResultSets, Row, Selection

BENCHMARKS = Path(__file__).parent
DOCUMENT = BENCHMARKS.parents[1] / "docs" / "RESULTS.md"
START, END = "<!-- table", "<!-- end of table -->"
_BLOCK = re.compile(rf"({START}\n(.*?)-->\n).*?({END})", re.DOTALL)
_LOOP = re.compile(r"(<!-- loop (\S+) -->\n).*?(<!-- end of loop -->)", re.DOTALL)


def fill(text: str, benchmarks: Path = BENCHMARKS) -> str:
    """Return a document whose marked tables are made from the results below ``benchmarks``.

    Raises:
        ValueError: a comment is wrong, or names runs that are not stored.
    """
    if len(_BLOCK.findall(text)) != text.count(START) or text.count(START) != text.count(END):
        raise ValueError(f"every '{START}' needs its '-->' and its '{END}'")
    sets = ResultSets(benchmarks)
    text = _LOOP.sub(lambda block: f"{block[1]}\n{loop_table(benchmarks / block[2])}\n\n{block[3]}", text)
    return _BLOCK.sub(lambda block: f"{block[1]}\n{_table(block[2], sets)}\n{block[3]}", text)


def _table(spec: str, sets: ResultSets) -> str:
    common, added, columns, by_dice = Selection(), [], {}, False
    for line in spec.replace("\n ", " ").strip().splitlines():
        key, value = _pair(line, ":")
        if key == "rows":
            added.append(_changed(common, dict(_pair(part, "=") for part in value.split(";"))))
        elif key == "columns":
            columns = dict(_column(part) for part in value.split(";"))
        elif key == "order" and value == "dice":
            by_dice = True
        else:
            common = _changed(common, {key: value})
    rows = [row for selection in added for row in sets.rows(selection)]
    if by_dice:
        rows.sort(key=lambda row: -row.group.dice)
    return _markdown(rows, columns)


def _pair(text: str, separator: str) -> tuple[str, str]:
    key, found, value = text.partition(separator)
    if not found or not value.strip():
        raise ValueError(f"'{text.strip()}' is not KEY{separator} VALUE")
    return key.strip(), value.strip()


def _column(text: str) -> tuple[str, str]:
    name, _, title = (part.strip() for part in text.partition("="))
    if name not in TITLES:
        raise ValueError(f"unknown column '{name}'; there are {', '.join(TITLES)}")
    return name, title or TITLES[name]


def _changed(selection: Selection, values: dict[str, str]) -> Selection:
    unknown = values.keys() - {field.name for field in fields(Selection)}
    if unknown:
        raise ValueError(f"unknown key '{min(unknown)}' in a table's comment")
    return replace(selection, **values)


def _markdown(rows: list[Row], columns: dict[str, str]) -> str:
    cells = [row.cells() for row in rows]
    lines = [[*columns.values()], *([row[name] for name in columns] for row in cells)]
    head, *body = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([head, "|---" * len(columns) + "|", *body, ""])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fill the tables of docs/RESULTS.md from stored results.")
    parser.add_argument("document", nargs="?", type=Path, default=DOCUMENT, metavar="DOCUMENT")
    parser.add_argument("--check", action="store_true", help="only tell whether the document is up to date")
    args = parser.parse_args(argv)
    before = args.document.read_text(encoding="utf-8")
    after = fill(before)
    sys.stdout.writelines(difflib.unified_diff(before.splitlines(True), after.splitlines(True), "before", "after", n=0))
    if not args.check:
        args.document.write_text(after, encoding="utf-8", newline="\n")
    return int(args.check and before != after)


if __name__ == "__main__":
    sys.exit(main())
