"""Hugging Face's imagefolder: pictures with a table of their texts or labels beside them."""

from __future__ import annotations

from pathlib import Path

from .columns import is_table
from .dialects import delimiter_of, encoding_of, header_of
from .files import Parts, Tree, walk
from .items import SourceError, SourceListing, split_of_folders
from .rows import listing_of
from .tables import LONGEST_ROW, parsed_json, read_csv, read_jsonl

METADATA = ("metadata.csv", "metadata.jsonl")


def list_imagefolder(root: Path) -> SourceListing:
    """Return the items of Hugging Face's imagefolder: pictures with a metadata.csv or metadata.jsonl beside them.

    Folders called train, test or similar determine the split. Raises SourceError if no row can be used.
    """
    tree = walk(root)
    tables = metadata_of(tree)
    if not tables:
        raise SourceError(f"{root}: there is no metadata.csv or metadata.jsonl with file_name and text (or label)")
    rows = []
    for parts in tables:
        read = read_csv if parts[-1].lower().endswith(".csv") else read_jsonl
        rows.append(read(tree.path(parts), f"{tree.name(parts[:-1])}/", split_of_folders(parts[:-1])))
    listing = listing_of(rows)
    listing.skipped[:0] = tree.skipped
    used = {item.source for item in listing.items}
    others = tree.unused(set(tables), "no metadata file names it")
    listing.skipped.extend((file, reason) for file, reason in others if file not in used)
    return listing


def metadata_of(tree: Tree) -> list[Parts]:
    """Return imagefolder's tables: those of its name that begin with the necessary columns."""
    return [parts for parts in tree.files if parts[-1].lower() in METADATA and _begins_as_table(tree.path(parts))]


def _begins_as_table(path: Path) -> bool:
    try:
        with path.open(encoding=encoding_of(path), errors="replace") as file:
            line = file.readline(LONGEST_ROW).lstrip("\ufeff")
    except OSError:
        return False
    if path.suffix.lower() == ".csv":
        return is_table(header_of(line, delimiter_of(line)))
    values, _, _ = parsed_json(line)
    return isinstance(values, dict) and is_table(tuple(key.strip().lower() for key in values))
