"""MediaPipe's blendshape network: 146 landmarks of a face → 52 actions.

Architecture: an MLP-Mixer (Tolstikhin et al., 2021, arXiv:2105.01601) as found in `face_blendshapes.tflite` of the Face
Landmarker. The landmarks become 96 tokens of 64 channels; a 97th token, which is learned, collects what the blocks
learn of the face, and the actions are computed from it alone.

Tensors are (tokens, faces, channels): both kinds of mixing are then one matrix product each for all faces, without
transposing anything.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# The landmarks that the network reads, in its order.
POINTS = (
    *(0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80),
    *(81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153),
    *(154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249),
    *(251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314),
    *(317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382),
    *(384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466),
    *(468, 469, 470, 471, 472, 473, 474, 475, 476, 477),
)
TOKENS, CHANNELS = 96, 64
BLOCKS = 4
SMALLEST = 1e-12  # image widths: the extent of a face whose points all coincide, instead of 0


class Mixer(nn.Module):
    """One block: mixes the tokens, then the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.token_norm = nn.LayerNorm(CHANNELS, eps=1e-6, bias=False)
        self.tokens_in = nn.Linear(1 + TOKENS, 4 * TOKENS)
        self.tokens_out = nn.Linear(4 * TOKENS, 1 + TOKENS)
        self.channel_norm = nn.LayerNorm(CHANNELS, eps=1e-6, bias=False)
        self.channels_in = nn.Linear(CHANNELS, 4 * CHANNELS)
        self.channels_out = nn.Linear(4 * CHANNELS, CHANNELS)

    def forward(self, x: Tensor, kept: int = 1 + TOKENS) -> Tensor:
        """Return the first `kept` tokens (kept, N, 64), mixed with all tokens (97, N, 64)."""
        hidden = along_tokens(self.tokens_in, self.token_norm(x)).relu()
        x = x[:kept] + along_tokens(self.tokens_out, hidden, kept)
        out: Tensor = x + self.channels_out(self.channels_in(self.channel_norm(x)).relu())
        return out


class ActionNetwork(nn.Module):
    """Points (N, 146, 2) of faces in any unit, the same for x and y → actions (N, 52) in 0…1."""

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))
        self.tokens = nn.Linear(len(POINTS), TOKENS)
        self.channels = nn.Linear(2, CHANNELS)
        self.summary = nn.Parameter(torch.zeros(CHANNELS))  # the 97th token
        self.blocks = nn.ModuleList(Mixer() for _ in range(BLOCKS))
        self.output = nn.Linear(CHANNELS, actions)

    def forward(self, points: Tensor) -> Tensor:
        points = points - points.mean(dim=1, keepdim=True)
        size = points.norm(dim=2).mean(dim=1).clamp_min(SMALLEST)
        points = points * (self.scale / size)[:, None, None]
        x = self.channels(along_tokens(self.tokens, points.transpose(0, 1)))  # (96, N, 64)
        x = torch.cat([self.summary.expand(1, len(points), -1), x])
        for number, block in enumerate(self.blocks, 1):
            x = block(x, kept=1 + TOKENS if number < BLOCKS else 1)
        return torch.sigmoid(self.output(x[0]))


def along_tokens(layer: nn.Linear, x: Tensor, kept: int | None = None) -> Tensor:
    """Apply a layer along the first of the axes (tokens, N, channels), for its first `kept` outputs or all."""
    product = torch.addmm(layer.bias[:kept, None], layer.weight[:kept], x.flatten(1))
    mixed: Tensor = product.unflatten(1, x.shape[1:])
    return mixed
