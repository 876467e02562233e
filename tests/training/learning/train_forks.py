"""Runs `train` again and again, each time in a process that is meant to be killed or stopped.

usage: python train_forks.py

Loading torch takes seconds, so this process does it once. For each JSON list of arguments on standard input it forks a
child that runs the command with them. It prints "started PID" before, and "ended CODE" after it, CODE being negative
for a signal; what the child prints goes to standard error. The state is saved after every step, and no report is drawn.
Each uses one thread: OpenMP's threads do not survive a fork.
"""

from __future__ import annotations

import json
import os
import sys

import torch
import torch._dynamo  # torch.optim loads it when it is first used

from perception_clip.training import fitting
from perception_clip.training.cli import main
from perception_clip.training.commands import train  # noqa: F401  # loaded before the fork
from perception_clip.training.learning import trainer


def serve() -> None:
    torch.set_num_threads(1)
    trainer.SAVE_EVERY = 0
    fitting.write_training_report = lambda *_, **__: None
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os.dup2(2, 1)
            code = main(json.loads(line))
            sys.stdout.flush()
            os._exit(code)
        print(f"started {child}", flush=True)
        print(f"ended {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}", flush=True)


if __name__ == "__main__":
    serve()
