"""The networks' layers in a form that starts fast, for one picture on a processor; equal networks run side by side.

On maps of a few hundred pixels a convolution of torch spends its time on being started: a depthwise one takes some
50 µs, of which two are arithmetic. Here the same sums are a product of shifted views and two matrix products, which
start fast, and one product serves several networks of the same form at once, such as the five decoders of the face
mesh. Maps are (networks, height, width, channels). From `FEWEST_TOGETHER` pictures on, convolutions of all of them win.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGE = 30_000  # numbers in a map: from there on torch's depthwise convolution is as fast
FEWEST_TOGETHER = 8  # pictures
MOST_SHAPES = 64  # of maps that a thread keeps memory for: more than the networks have

Layer = Callable[[Tensor], Tensor]


class Part(nn.Sequential):
    """Layers one after the other, (N, C, H, W) → (N, C', H', W'); after `prepare`, faster for one picture."""

    _layer: Layer | None = None

    def prepare(self) -> None:
        """See `Network.prepare`."""
        self._layer = side_by_side(nn.Sequential(*self))

    def forward(self, maps: Tensor) -> Tensor:
        if self._layer is None or len(maps) != 1 or torch.is_grad_enabled():
            out: Tensor = super().forward(maps)  # type: ignore[no-untyped-call]
            return out
        return self._layer(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Network(nn.Module):
    """A network whose parts have a form for one picture on a processor."""

    def prepare(self) -> None:
        """Convert the loaded weights to that form, which has no gradients."""
        for module in self.modules():
            if isinstance(module, Part):
                module.prepare()


def side_by_side(*networks: nn.Module) -> Layer:
    """Return what turns maps (G, H, W, C), one for each of G networks of the same form, into each network's result.

    A network is made of nn.Conv2d, activations, nn.Sequential, and modules with a `side_by_side` of their own. The
    result (G, h, w, channels) equals the networks' own up to rounding; where they differ in their output channels, the
    last of the narrower ones are 0. The weights are taken over as they are now.
    """
    first = networks[0]
    if isinstance(first, nn.Sequential):
        return chain([side_by_side(*layers) for layers in zip(*networks, strict=True)])
    if isinstance(first, nn.Conv2d):
        return Convolution(networks)
    if isinstance(first, nn.ReLU):
        return torch.relu_
    if isinstance(first, nn.PReLU):
        return _slopes(networks)
    layer: Layer = first.side_by_side(networks)  # type: ignore[operator]
    return layer


def chain(layers: Sequence[Layer]) -> Layer:
    """Return a layer that applies the layers in order; each may overwrite its input."""

    def chained(maps: Tensor) -> Tensor:
        for layer in layers:
            maps = layer(maps)
        return maps

    return chained


def _slopes(modules: Sequence[Any]) -> Layer:
    """Return one layer that computes several nn.PReLU modules."""
    slopes = torch.stack([module.weight for module in modules]).detach()  # (G, C)
    if len(modules) == 1:
        slope = slopes[0]
        return lambda maps: torch.prelu(maps.view(-1, maps.shape[3]), slope).view(maps.shape)
    slopes = slopes[:, None, None]
    return lambda maps: maps.relu().lerp_(maps, slopes)  # torch.prelu has no slopes for each network


class Convolution:
    """Of nn.Conv2d modules with biases: a matrix product where they are pointwise or as large as the map."""

    def __init__(self, modules: Sequence[Any]) -> None:
        self.modules = modules
        self.kernel = modules[0].kernel_size
        widest = max(module.out_channels for module in modules)
        weights, biases = [], []
        for module in modules:
            wider = (0, widest - module.out_channels)
            weights.append(F.pad(module.weight.permute(2, 3, 1, 0).flatten(0, 2), wider))  # (kh · kw · C, O)
            biases.append(F.pad(module.bias, wider))
        self.weight, self.bias = torch.stack(weights).detach(), torch.stack(biases).detach()[:, None]

    def __call__(self, maps: Tensor) -> Tensor:
        count, height, width, channels = maps.shape
        if self.kernel == (1, 1):
            mixed = torch.baddbmm(self.bias, maps.reshape(count, -1, channels), self.weight)
            return mixed.view(count, height, width, -1)
        if self.kernel == (height, width):
            return torch.baddbmm(self.bias, maps.reshape(count, 1, -1), self.weight)[:, None]
        return convolve(self.modules, maps)


class Separable:
    """Depthwise 3×3 convolutions, each with the pointwise one that follows it.

    `before` is how many rows and columns of zeros go above and on the left; one goes below and on the right.
    """

    def __init__(self, depthwise: Sequence[Any], pointwise: Sequence[Any], *, before: int) -> None:
        self.stride, self.before = depthwise[0].stride[0], before
        self.depthwise, self.pointwise = depthwise, Convolution(pointwise)
        taps = torch.stack([module.weight[:, 0].permute(1, 2, 0) for module in depthwise]).detach()  # (G, 3, 3, C)
        self.taps = taps[:, :, :, None, None].contiguous()
        self.sum = taps.new_ones(len(depthwise), 1, 9)
        inner = torch.stack([module.bias for module in depthwise]).detach()[:, None]  # (G, 1, C)
        self.bias = self.pointwise.bias + inner @ self.pointwise.weight  # of both

    def __call__(self, maps: Tensor) -> Tensor:
        count, height, width, channels = maps.shape
        if height * width * channels >= LARGE * self.stride**2:
            if not self.depthwise[0].padding[0]:
                maps = F.pad(maps, (0, 0, self.before, 1, self.before, 1))
            return self.pointwise(convolve(self.depthwise, maps))
        space = _workspace(count, height, width, channels, self.stride, self.before)
        space.inside.copy_(maps)
        torch.mul(space.views, self.taps, out=space.products)
        spread = torch.bmm(self.sum, space.rows).view(count, -1, channels)
        mixed = torch.baddbmm(self.bias, spread, self.pointwise.weight)
        return mixed.view(count, height // self.stride, width // self.stride, -1)


@dataclass(frozen=True)
class _Workspace:
    """Memory for the maps of one shape, seen in different ways."""

    inside: Tensor  # (G, H, W, C), surrounded by zeros
    views: Tensor  # (G, 3, 3, h, w, C): the same, as each tap sees it
    products: Tensor  # (G, 3, 3, h, w, C): memory that maps of all shapes share, and so stays in the cache
    rows: Tensor  # (G, 9, h · w · C): the same


_thread = threading.local()


def _workspace(*shape: int) -> _Workspace:
    """Return this thread's memory for maps of a shape: (G, H, W, C), stride, and how many zeros are before them."""
    if not hasattr(_thread, "spaces") or len(_thread.spaces) > MOST_SHAPES:
        _thread.spaces = {}
    spaces: dict[tuple[int, ...], _Workspace] = _thread.spaces
    space = spaces.get(shape)
    if space is None:
        space = spaces[shape] = _make_workspace(*shape)
    return space


@torch.inference_mode(False)  # ordinary tensors, which may be written to in any mode
def _make_workspace(count: int, height: int, width: int, channels: int, stride: int, before: int) -> _Workspace:
    padded = torch.zeros(count, before + height + 1, before + width + 1, channels)
    shape = (count, 3, 3, height // stride, width // stride, channels)
    picture, row, column, _ = padded.stride()
    products = _shared_memory(math.prod(shape)).view(shape)
    return _Workspace(
        inside=padded[:, before : before + height, before : before + width],
        views=padded.as_strided(shape, (picture, row, column, row * stride, column * stride, 1)),
        products=products,
        rows=products.view(count, 9, -1),
    )


def _shared_memory(count: int) -> Tensor:
    """Return the first numbers of this thread's memory, which no layer leaves to the next."""
    if len(getattr(_thread, "memory", ())) < count:
        _thread.memory = torch.empty(count)
    memory: Tensor = _thread.memory
    return memory[:count]


def convolve(modules: Sequence[Any], maps: Tensor) -> Tensor:
    """Return torch's own convolution of each map (G, H, W, C)."""
    results = [module(planes) for module, planes in zip(modules, maps.permute(0, 3, 1, 2).split(1), strict=True)]
    return (results[0] if len(results) == 1 else torch.cat(results)).permute(0, 2, 3, 1)
