"""The commands as they are typed: what those print that succeed, and what those say that fail."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout

from perception_clip.training.cli import main


def ok(*arguments: object) -> str:
    """Run a command, which must succeed, and return its output."""
    with redirect_stdout(io.StringIO()) as out:
        assert main([str(argument) for argument in arguments]) == 0
    return out.getvalue()


def fails(*arguments: object) -> str:
    """Run a command, which must fail, and return its message."""
    with redirect_stderr(io.StringIO()) as error:
        assert main([str(argument) for argument in arguments]) == 1
    return error.getvalue()
