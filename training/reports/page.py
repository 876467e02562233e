"""The building blocks of a report's page: one file of HTML, without scripts, that needs nothing from elsewhere."""

from __future__ import annotations

import html
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from math import isfinite

from ..evaluation.metrics import Interval

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 1240px; margin: 2em auto; padding: 0 1em; color: #222;
  background: #fff }}
h1 {{ font-size: 1.7em; overflow-wrap: anywhere }}
h2 {{ margin-top: 2.2em; border-bottom: 1px solid #ddd }}
p, li {{ max-width: 80ch; overflow-wrap: anywhere }}
figure {{ margin: 1em 0 }}
img {{ max-width: 100%; height: auto }}
.wide {{ overflow-x: auto }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
th, td {{ padding: .3em .7em; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top }}
th:first-child, td:first-child {{ text-align: left }}
tbody th {{ min-width: 10em; max-width: 32em; overflow-wrap: anywhere; font-weight: normal }}
thead th {{ border-bottom: 2px solid #999 }}
tr.own, tr.own th {{ background: #e8f1f8; font-weight: bold }}
td small {{ display: block; color: #555; font-weight: normal; white-space: nowrap }}
.texts th, .texts td {{ text-align: left; overflow-wrap: anywhere }}
.facts th {{ color: #555 }}
.verdict {{ border: 2px solid; border-left-width: 14px; border-radius: 6px; padding: .4em 1.2em }}
.verdict strong {{ font-size: 1.3em }}
.ready {{ border-color: #0a7d4f; background: #eef8f3 }}
.caution {{ border-color: #b97700; background: #fff7e6 }}
.refused {{ border-color: #b3261e; background: #fdeeed }}
.note {{ color: #555; font-style: italic }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def page(title: str, parts: Sequence[str]) -> str:
    """A whole page of parts that are HTML already."""
    return _PAGE.format(title=escaped(title), body="\n".join([f"<h1>{escaped(title)}</h1>", *parts]))


def escaped(text: object) -> str:
    """Any text as HTML that shows it; what cannot be printed becomes a blank."""
    return html.escape("".join(mark if mark.isprintable() else " " for mark in str(text)))


def section(heading: str, *parts: str) -> str:
    return "\n".join([f"<section>\n<h2>{escaped(heading)}</h2>", *(part for part in parts if part), "</section>"])


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escaped(text)}</p>' if kind else f"<p>{escaped(text)}</p>"


def picture(png: bytes, alt: str) -> str:
    """A PNG inside the page, with a text for who cannot see it."""
    source = f"data:image/png;base64,{b2a_base64(png, newline=False).decode('ascii')}"
    return f'<figure><img src="{source}" alt="{escaped(alt)}"/></figure>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], strong: int | None = None, kind: str = "numbers") -> str:
    """Rows of cells that are HTML already; the first of a row names it. `strong` is a row to point out.

    `kind` is "numbers" or "texts".
    """
    top = "".join(f'<th scope="col">{escaped(name)}</th>' for name in head)
    lines = [
        ('<tr class="own">' if number == strong else "<tr>")
        + f'<th scope="row">{first}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
        for number, (first, *cells) in enumerate(rows)
    ]
    body = "\n".join([f"<thead><tr>{top}</tr></thead>", "<tbody>", *lines, "</tbody>"])
    return f'<div class="wide"><table class="{kind}">\n{body}\n</table></div>'


def fact_table(values: Mapping[str, object]) -> str:
    """Names and values, one below the other."""
    lines = [
        f'<tr><th scope="row">{escaped(name)}</th><td>{escaped(value)}</td></tr>' for name, value in values.items()
    ]
    return '<div class="wide"><table class="texts facts"><tbody>\n' + "\n".join(lines) + "\n</tbody></table></div>"


def details(summary: str, content: str) -> str:
    """Something that is folded away until it is asked for."""
    return f"<details><summary>{escaped(summary)}</summary>\n{content}\n</details>"


def interval(value: Interval, signed: bool = False) -> str:
    """A number with its 95 % interval, small."""
    show = "{:+.3f}" if signed else "{:.3f}"
    number, low, high = (
        show.format(part).replace("-", "−") if isfinite(part) else "–" for part in (value.value, value.low, value.high)
    )
    return f"{number} <small>[{low}, {high}]</small>"
