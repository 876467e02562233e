"""The errors of the pack that users can fix; each message names the problem and the remedy.

Every error that the pack raises deliberately for its user is a PerceptionClipError. The command line shows these as one
line; any other error is a bug and keeps its traceback.
"""

from __future__ import annotations


class PerceptionClipError(Exception):
    """The base class of all errors of the pack."""


class InputError(PerceptionClipError, ValueError):
    """A setting, a combination of settings, or data that cannot be used."""


class MissingLibraryError(PerceptionClipError, ImportError):
    """An optional library is not installed, or cannot be loaded."""
