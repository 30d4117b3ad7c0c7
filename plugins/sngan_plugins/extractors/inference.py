"""Networks made quick where they are only to be looked through: the same features, up to rounding."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def for_inference(network: nn.Module, device: str) -> Callable[..., Any]:
    """Freeze a network on a device: batch norms folded into convolutions, channels last, and in time compiled on a GPU.

    The folded ones are the attribute `bn` of the modules whose convolution is their attribute `conv`, as in Inception.
    """
    network = network.eval().requires_grad_(False)
    for module in network.modules():
        norm = getattr(module, "bn", None)
        if isinstance(norm, nn.BatchNorm2d):
            module.conv, module.bn = fuse_conv_bn_eval(cast("nn.Conv2d", module.conv), norm), nn.Identity()
    network = network.to(device).to(memory_format=torch.channels_last)
    return Compiled(network) if torch.device(device).type == "cuda" else network


LEAST_SEEN = 50_000
"""Images that are looked at before a compiler begins: in the minute that it takes, a GPU sees as many without it."""


class Compiled:
    """A network that is compiled once it has seen so many images, or left as it is where that cannot be done.

    It is compiled for one shape, that of two batches in a row: the last one of many may be smaller, and compiling for
    that as well would take longer than to look at it.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._quick: Callable[..., Any] | None = None
        self._seen = 0
        self._last: torch.Size | None = None
        self._shape: torch.Size | None = None
        with suppress(RuntimeError):  # a Python that it does not know yet
            self._quick = torch.compile(network)

    def __call__(self, images: Tensor) -> Any:
        """Call the network with images (N, ...)."""
        self._seen += len(images)
        if self._shape is None and self._seen > LEAST_SEEN and images.shape == self._last:
            self._shape = images.shape
        self._last = images.shape
        if self._quick is not None and images.shape == self._shape:
            try:
                return self._quick(images)
            except Exception:  # no compiler, an unknown processor, too old a driver: there are many ways
                self._quick = None
        return self._network(images)
