"""Training commands in processes of their own, to be killed or stopped while they run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCRIPT = Path(__file__).with_name("train_forks.py")


class Forks:
    """Commands run one after the other; see train_forks.py."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def start(self, *arguments: str | Path) -> int:
        """Start `python -m training` with these arguments, and return its process's number."""
        assert self._server.stdin is not None
        print(json.dumps(list(map(str, arguments))), file=self._server.stdin, flush=True)
        return int(self._said("started"))

    def ended(self) -> int:
        """Wait for the end; the exit code, or minus the signal's number."""
        return int(self._said("ended"))

    def _said(self, word: str) -> str:
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        assert line.startswith(word), "the server of the forks has ended"
        return line.removeprefix(word)


@contextmanager
def forks(errors: Path) -> Iterator[Forks]:
    """A server of forks; what its children print goes to the file `errors`."""
    with (
        errors.open("wb") as file,
        subprocess.Popen(
            [sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True
        ) as server,
    ):
        yield Forks(server)
        assert server.stdin is not None
        server.stdin.close()
