"""The columns of tables: the names that programs give them, and what each is used for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

PATH, PROMPT, LABEL, GROUP, SPLIT = "path", "prompt", "label", "group", "split"
ID = "id"  # people, or only the numbers of the rows
AFFECTNET_PATH = "subdirectory_filepath"  # the column of AffectNet's csv files, whose expressions are numbers
NAMES = {  # role → names of columns, the first that a table has is used
    PATH: (
        PATH,
        "file_name",
        "filename",
        "filepath",
        "file_path",
        "file",
        "image",
        "image_path",
        "video",
        AFFECTNET_PATH,
    ),
    PROMPT: (PROMPT, "prompts", "text", "caption"),
    LABEL: (LABEL, "emotion", "expression"),
    GROUP: (GROUP, "person", "subject", "actor", "speaker", "identity"),
    SPLIT: (SPLIT,),
}

CSV_SUFFIXES = frozenset({".csv", ".tsv"})
JSON_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})
PARQUET_SUFFIX = ".parquet"
TABLE_SUFFIXES = CSV_SUFFIXES | JSON_SUFFIXES | {PARQUET_SUFFIX}


@lru_cache(maxsize=1024)
def roles_of(header: tuple[str, ...]) -> dict[str, str]:
    """Return which column, in lower case, has each role.

    In a table with the pack's own names, path and prompt or label, no other column is the prompt or the label.
    """
    found = {role: next((name for name in names if name in header), "") for role, names in NAMES.items()}
    if PATH in header and (PROMPT in header or LABEL in header):
        found |= {role: role if role in header else "" for role in (PROMPT, LABEL)}
    return {role: name for role, name in found.items() if name}


def is_table(header: tuple[str, ...]) -> bool:
    """Return whether a header has the necessary columns."""
    roles = roles_of(header)
    return PATH in roles and (PROMPT in roles or LABEL in roles)


def role_notes(tables: Iterable[Mapping[str, str]]) -> list[str]:
    """Return which columns are used under another name, from the column of each role."""
    used = {(name, role) for roles in tables for role, name in roles.items() if name != role}
    return [f"the column {name} is used as the {role}" for name, role in sorted(used)]
