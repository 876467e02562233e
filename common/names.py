"""Names that people give to files of the pack, and that cannot lead anywhere else."""

from __future__ import annotations

import re

_NAME = re.compile(r"\w([\w .-]*[\w-])?")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # Windows' device names


def is_name(name: str, longest: int) -> bool:
    """Whether `name` is a file name on every system, and cannot leave its folder.

    It is if it has 1 to `longest` letters, digits, spaces, dots, dashes and underscores, begins with a letter,
    digit or underscore, does not end with a dot or a space, has no two dots in a row and is no device name of
    Windows.
    """
    return len(name) <= longest and ".." not in name and bool(_NAME.fullmatch(name)) and not _RESERVED.fullmatch(name)
