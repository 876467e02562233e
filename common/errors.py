"""The pack's own errors: what a user can mend, told in a message that names the thing and the remedy.

Every error that the pack raises on purpose for its user is a PerceptionClipError. The command line shows those as one
line; any other error is a bug, and keeps its traceback.
"""

from __future__ import annotations


class PerceptionClipError(Exception):
    """The base of all the pack's own errors."""


class InputError(PerceptionClipError, ValueError):
    """A setting, a combination of settings, or data that cannot be used."""


class MissingLibraryError(PerceptionClipError, ImportError):
    """An optional library is not installed, or cannot be loaded."""
