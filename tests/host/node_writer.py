"""Runs Dataset Writer in ComfyUI's own Python, again and again, each time in a process that is meant to be killed.

usage: python node_writer.py CHECKOUT BASE PACK DATASET CHECKPOINT PHOTO

Loading ComfyUI, the pack and CLIP takes many seconds, so this process does it once. For each number on standard input
it forks a child that calls the node for samples of that number and the following ones, without end; the child prints
"started PID", then each number once the node has returned; this process prints "ended" after it. torch keeps to one
thread: OpenMP's threads do not survive a fork.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from typing import Any

PER_PROMPT = 4  # samples that share a prompt


def main(checkout: str, base: str, pack: str, dataset: str, checkpoint: str, photo: str) -> None:
    nodes = load_host(checkout, base, pack)
    import folder_paths
    import torch
    from comfy.sd import load_checkpoint_guess_config

    torch.set_num_threads(1)
    write = nodes["PerceptionClip_DatasetWriter"].execute
    with torch.inference_mode():  # as ComfyUI runs its nodes
        path = folder_paths.get_full_path_or_raise("checkpoints", checkpoint)
        _, clip, *_ = load_checkpoint_guess_config(path, output_vae=False, output_model=False)
        image, _ = nodes["LoadImage"]().load_image(photo)
        faces = nodes["PerceptionClip_FacePerception"].execute(image).result[0]
        assert len(faces) == 1
        print("ready", flush=True)
        for line in sys.stdin:
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                print("ended", flush=True)
                continue
            print(f"started {os.getpid()}", flush=True)
            number = int(line)
            while True:
                origins = faces.origins.clone()  # of a face that was never there
                origins[0, :8] = torch.tensor(list(number.to_bytes(8, "little")), dtype=torch.uint8)
                prompt = f"smile number {number // PER_PROMPT}"
                write(replace(faces, origins=origins), clip, prompt, dataset, source=str(number))
                print(number, flush=True)
                number += 1


def load_host(checkout: str, base: str, pack: str) -> dict[str, Any]:
    """ComfyUI's nodes and the pack's by name, loaded as its main.py does; standard output stays ours."""
    sys.path.insert(0, checkout)
    sys.argv = ["main.py", "--cpu", "--base-directory", base]
    import comfy.options

    comfy.options.enable_args_parsing()
    import utils.extra_config  # noqa: F401  # before nodes puts another utils in its way
    from server import PromptServer

    import nodes

    loop = asyncio.new_event_loop()
    PromptServer(loop)
    assert loop.run_until_complete(nodes.load_custom_node(pack, module_parent="custom_nodes"))
    return dict(nodes.NODE_CLASS_MAPPINGS)


if __name__ == "__main__":
    main(*sys.argv[1:])
