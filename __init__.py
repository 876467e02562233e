"""Perception CLIP: let a real face steer Stable Diffusion, as a ComfyUI custom-node pack.

Importing this package loads nothing else. ComfyUI calls `comfy_entrypoint` when it wants the nodes.
"""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():  # type: ignore[no-untyped-def]  # its return type lives in the host
    """ComfyUI's entry point: return the extension that lists the pack's nodes."""
    from .nodes import PerceptionClipExtension

    return PerceptionClipExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
