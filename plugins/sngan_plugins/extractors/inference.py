"""Networks made quick where they are only to be looked through: the same features, up to rounding."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def for_inference(network: nn.Module, device: str) -> Callable[..., Any]:
    """Freeze a network on a device: batch norms folded into convolutions, and what is quickest there.

    The folded ones are the attribute `bn` of the modules whose convolution is their attribute `conv`, as in Inception.
    """
    network = network.eval().requires_grad_(False)
    for module in network.modules():
        norm = getattr(module, "bn", None)
        if isinstance(norm, nn.BatchNorm2d):
            module.conv, module.bn = fuse_conv_bn_eval(cast("nn.Conv2d", module.conv), norm), nn.Identity()
    network = network.to(device).to(memory_format=torch.channels_last)
    return OnGPU(network) if torch.device(device).type == "cuda" else network


LEAST_SEEN = 250_000
"""Images that are looked at before a compiler begins: on an H200 it takes as long as it then saves on so many
(docs/performance.md), and whoever has seen them may well see as many again."""


class OnGPU:
    """A network as a GPU is quickest with it, which depends on the arithmetic that is asked for at each call.

    In float32 convolutions take nearly all of the time, and cuDNN is quicker at them where channels lie apart. In less
    (TensorFloat-32, or under autocast) it is where they lie side by side, and the network is compiled once it has seen
    so many images, or left as it is where that cannot be done.

    It is compiled for one shape, that of two batches in a row: the last one of many may be smaller, and compiling for
    that as well would take longer than to look at it.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network, self._layout = network, torch.channels_last
        self._quick: Callable[..., Any] | None = None
        self._seen = 0
        self._last: torch.Size | None = None
        self._shape: torch.Size | None = None

    def __call__(self, images: Tensor) -> Any:
        """Call the network with images (N, C, H, W)."""
        exact = not (torch.backends.cudnn.allow_tf32 or torch.is_autocast_enabled(images.device.type))
        self._lay_out(torch.contiguous_format if exact else torch.channels_last)
        if exact:
            return self._network(images)
        self._seen += len(images)
        if self._shape is None and self._seen > LEAST_SEEN and images.shape == self._last:
            self._shape = images.shape
            with suppress(RuntimeError):  # a Python that it does not know yet
                self._quick = torch.compile(self._network)  # no sooner: it takes seconds to import the compiler
        self._last = images.shape
        if self._quick is not None and images.shape == self._shape:
            try:
                return self._quick(images)
            except Exception:  # no compiler, an unknown processor, too old a driver: there are many ways
                self._quick = None
        return self._network(images)

    def _lay_out(self, layout: torch.memory_format) -> None:
        if layout != self._layout:
            self._network.to(memory_format=layout)
            self._layout = layout
