"""Parts of an HTML page: the document with its style, sections, tables, pictures, and the Markdown of model cards."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

from leuda_core.io.streams import printable
from leuda_core.report.pictures import data_uri

STYLE = """
:root { color-scheme: light dark; --ink:#1d2430; --soft:#5c6675; --line:#e3e6eb; --paper:#fff; --ground:#f4f5f7;
  --accent:#2158d6; --good:#1b7f4b; --warn:#9a6400; --bad:#b3261e; --busy:#2158d6; }
@media (prefers-color-scheme: dark) { :root { --ink:#e8ecf2; --soft:#a0aab8; --line:#2c3440; --paper:#171c24;
  --ground:#0f1319; --accent:#86abff; --good:#63cf98; --warn:#e5b454; --bad:#ff8a80; --busy:#86abff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.5; font-size: 15px;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1020px; margin: 0 auto; padding: 40px 20px 64px; }
header { margin-bottom: 28px; }
h1 { font-size: 32px; line-height: 1.2; margin: 10px 0 4px; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 0 0 4px; }
h3 { font-size: 15px; margin: 18px 0 6px; }
p { margin: 6px 0; }
.lead { font-size: 18px; color: var(--soft); }
.state { display: inline-block; margin: 0; padding: 2px 12px; border: 1px solid currentColor; border-radius: 99px;
  font-size: 13px; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); } .busy { color: var(--busy); }
.note { margin-top: 16px; }
.labels { list-style: none; display: flex; flex-wrap: wrap; gap: 6px 18px; padding: 0; margin: 14px 0; }
.labels i, .swatch { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 7px;
  vertical-align: -1px; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin-top: 18px; }
.tiles div { flex: 1 1 auto; background: var(--paper); border: 1px solid var(--line); border-radius: 12px;
  padding: 14px 18px; }
.tiles b { display: block; font-size: 23px; line-height: 1.2; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.tiles span, .hint, figcaption, small { color: var(--soft); font-size: 13px; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 12px; padding: 22px 24px;
  margin: 18px 0; overflow-x: auto; break-inside: avoid; }
.hint { margin: 0 0 12px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; font-size: 13px; color: var(--soft); }
th, td { padding: 7px 14px 7px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
td { overflow-wrap: break-word; }
.bar { width: 140px; height: 8px; margin-top: 8px; border-radius: 4px; background: var(--line); overflow: hidden; }
.bar i { display: block; height: 100%; }
details { margin-top: 12px; } summary { cursor: pointer; color: var(--accent); margin-bottom: 6px; }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 14px; }
figure { margin: 0; } img { max-width: 100%; display: block; border-radius: 6px; }
.strip img, img.wide { width: 100%; }
code { background: var(--ground); padding: 1px 5px; border-radius: 4px; font-size: 13px; }
.card h2 { font-size: 16px; margin-top: 18px; } .card h3 { font-size: 15px; } .card ul { padding-left: 20px; }
footer { color: var(--soft); font-size: 13px; margin-top: 26px; }
@media print { body { background: #fff; } section, .tiles div { border-color: #ccc; } }
"""


def page(title: str, body: str) -> str:
    """Return a whole document."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n"
        "<footer>Made with LE-UDA. For research; not for diagnosis.</footer>\n</main>\n</body>\n</html>\n"
    )


def section(title: str, content: str, hint: str = "") -> str:
    """Return a block with a title; empty if there is no content."""
    if not content:
        return ""
    note = f"<p class='hint'>{escape(hint)}</p>" if hint else ""
    return f"<section><h2>{escape(title)}</h2>{note}{content}</section>"


def picture(png: bytes, caption: str) -> str:
    """Return an image that is embedded in the page."""
    return f"<img src='{data_uri(png)}' alt='{escape(caption)}'>"


def table(rows: Iterable[Sequence[Any]], head: Sequence[str] = (), *, raw: bool = False) -> str:
    """Return a table; empty if there are no rows. ``raw`` cells are HTML already."""
    lines = [
        "<tr>" + "".join(f"<td>{cell if raw else escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    ]
    top = "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr>" if head else ""
    return f"<table>{top}{''.join(lines)}</table>" if lines else ""


def details(summary: str, content: str) -> str:
    """Return a block that opens on a click; empty if there is no content."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>" if content else ""


def escape(text: str) -> str:
    """Escape text for use in HTML, also in attributes with single or double quotes, and characters that reorder it."""
    return html.escape(printable(text), quote=True)


def markdown_html(text: str) -> str:
    """Convert headings, paragraphs, lists, tables, bold and code. Anything else is shown as text, also HTML."""
    blocks = [_block(block.splitlines()) for block in re.split(r"\n\s*\n", text.strip()) if block.strip()]
    return f"<div class='card'>{''.join(blocks)}</div>" if blocks else ""


def _block(lines: list[str]) -> str:
    if heading := re.match(r"(#{1,6})\s+(.*)", lines[0]):
        level = min(len(heading[1]) + 1, 6)
        rest = _block(lines[1:]) if lines[1:] else ""
        return f"<h{level}>{_inline(heading[2])}</h{level}>{rest}"
    if all(line.startswith("|") for line in lines):
        cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
        rows = [[_inline(cell) for cell in row] for row in cells if not all(re.fullmatch(r":?-+:?", c) for c in row)]
        return table(rows[1:], rows[0], raw=True)
    if all(re.match(r"[-*] ", line) for line in lines):
        return "<ul>" + "".join(f"<li>{_inline(line[2:])}</li>" for line in lines) + "</ul>"
    return f"<p>{_inline(' '.join(lines))}</p>"


def _inline(text: str) -> str:
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
