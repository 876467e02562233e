"""The command line: `python -m training <command>` in the plugin's folder, or `perception-clip <command>`."""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from ..common.errors import PerceptionClipError

COMMANDS = {
    "build": "process pictures and videos with prompts -> dataset",
    "capture": "record yourself with a webcam, prompt by prompt -> dataset",
    "info": "summarize a dataset and report its problems",
    "merge": "combine several datasets -> one dataset",
    "filter": "select samples of a dataset -> another dataset",
    "relabel": "change the prompts of a dataset -> another dataset",
    "export": "write a dataset to a file -> training_data.npz",
    "import": "convert any training_data.npz -> a dataset that can grow",
    "train": "train a projection on training_data.npz -> best_model",
    "evaluate": "evaluate a checkpoint on a dataset",
    "starter": "train a first checkpoint without any data of your own",
    "demo": "run the whole pipeline on two photos, without any download",
}

Command = tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]  # adds flags, and runs

PACK = Path(__file__).resolve().parents[1]
OF_LIBRARIES = ("not writable",)  # what torch blames on its caller: it only reads mapped files
ABOUT_FILES = {
    *(errno.EACCES, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EPERM),
    *(errno.EIO, errno.EROFS),
}
ABOUT_DISKS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code of the process.

    The pack's own errors, and operating system errors about files, print one line to standard error and return exit
    code 1. Any other error is a bug and is raised.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a Windows console may lack characters used in prompts and names
    words = [_dashed(argument) for argument in (sys.argv[1:] if arguments is None else arguments)]
    parser = argparse.ArgumentParser(
        prog="python -m training", description="Build datasets and train the perception projection layer."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    chosen = next((argument for argument in words if argument in COMMANDS), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name == chosen:  # the other commands' libraries need not be loaded
            add_arguments, run = _command(name)
            add_arguments(command)
            command.set_defaults(run=run)
    options = parser.parse_args(words)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]  # without its last arguments
            result: int = options.run(options)
        sys.stdout.flush()
    except PerceptionClipError as error:
        return _fail(str(error))
    except BrokenPipeError:  # the program that reads the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the rest of the output is flushed at exit
        return 1
    except OSError as error:
        if error.errno in ABOUT_FILES and error.filename is not None:
            return _fail(f"{error.filename}: {error.strerror}")
        if error.errno in ABOUT_DISKS:
            return _fail(f"{error.strerror}; free some disk space or use another disk")
        raise
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return result


def _show_warning(message: Warning | str, category: type[Warning], filename: str, *_: object) -> None:
    """Print a warning of the pack in one line; those of libraries are for developers."""
    from tqdm import tqdm

    if Path(filename).is_relative_to(PACK) and not any(part in str(message) for part in OF_LIBRARIES):
        tqdm.write(f"warning: {message}", file=sys.stderr)


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


def _command(name: str) -> Command:
    """Import and return one of COMMANDS."""
    if name == "build":
        from .commands.build import COMMANDS as GROUP
    elif name == "capture":
        from .commands.capture import COMMANDS as GROUP
    elif name == "demo":
        from .commands.demo import COMMANDS as GROUP
    elif name in ("train", "starter", "evaluate"):
        from .commands.train import COMMANDS as GROUP
    else:
        from .commands.datasets import COMMANDS as GROUP
    return GROUP[name]


def _dashed(argument: str) -> str:
    """Return a flag with dashes for underscores, `--out_dir=x_y` -> `--out-dir=x_y`; both spellings are accepted."""
    if not argument.startswith("--"):
        return argument
    flag, equals, value = argument.partition("=")
    return flag.replace("_", "-") + equals + value
