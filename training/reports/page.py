"""Report pages: the jinja2 templates next to this module, filled in and written to a file."""

from __future__ import annotations

from math import isfinite
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined  # torch brings jinja2
from markupsafe import Markup

from ...common.files import atomic_path
from ...common.words import counted


def write_page(path: Path, template: str, **values: object) -> Path:
    """Fill in a template of this folder and write it to `path`, whole or not at all. Return the path.

    Values are escaped. Characters that cannot be printed become spaces.
    """
    text = _TEMPLATES.get_template(template).render(values)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def number(value: float, sign: str = "") -> str:
    """Return a number with three decimals and a true minus sign, or a dash if it is not finite.

    A `sign` of "+" marks positive numbers too.
    """
    return f"{value:{sign}.3f}".replace("-", "−") if isfinite(value) else "–"


def printable(value: object) -> object:
    """Return a value as text without control characters other than line breaks. HTML is returned as it is."""
    if isinstance(value, Markup):
        return value
    text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else " " for c in text)


_TEMPLATES = Environment(
    autoescape=True,
    undefined=StrictUndefined,
    loader=FileSystemLoader(Path(__file__).parent),
    finalize=printable,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters |= {"counted": counted, "number": number}
