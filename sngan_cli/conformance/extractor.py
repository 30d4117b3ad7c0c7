"""What an extractor promises: features of each image by itself, whatever its size, and weights that are identified."""

from __future__ import annotations

import re

import torch

from sngan_cli.conformance.promises import Bench, BrokenPromiseError, Promise, UncheckedError, about, expect
from sngan_cli.contracts import Extractor, LoadedExtractor, TrainableExtractor, UsageError, WeightsUnavailableError
from sngan_cli.engine.classifier import write_weights
from sngan_cli.engine.extraction import features_of

SIDE, CLASSES = 16, 3
"""Of the untrained network that stands in for a trained one."""


def identifies_its_weights(extractor: Extractor, bench: Bench) -> None:
    """Raise where scores could not say by which weights they are."""
    found = _loaded(extractor, bench).weights_sha256
    expect(re.fullmatch(r"[0-9a-f]{64}", found), f"weights_sha256 is {found!r}, not 64 hexadecimal digits")


def sees_each_image_by_itself(extractor: Extractor, bench: Bench) -> None:
    """Raise where an image of some size has no features, or others beside other images."""
    loaded = _loaded(extractor, bench)
    widths: tuple[int, ...] | None = None
    for side in (8, 33, 8):
        images = _images(5, side)
        with about(f"images of {side} px"):
            found = features_of(loaded, images, type(extractor).__name__)
            width = *found.pooled.shape[1:], *found.logits.shape[1:]
            widths = widths or width
            expect(width == widths, f"an image has {width} pooled features and logits, and had {widths} before")
            expect(not found.pooled.requires_grad and not found.logits.requires_grad, "features need gradients")
            alone = loaded(images[3:4])
            torch.testing.assert_close(alone.pooled[0], found.pooled[3], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(alone.logits[0], found.logits[3], rtol=1e-4, atol=1e-4)


def gives_new_tensors(extractor: Extractor, bench: Bench) -> None:
    """Raise where features change once others are extracted: metrics keep them."""
    loaded = _loaded(extractor, bench)
    found = loaded(_images(5, 8))
    kept = found.pooled.clone(), found.logits.clone()
    loaded(255 - _images(5, 8))
    same = torch.equal(found.pooled, kept[0]) and torch.equal(found.logits, kept[1])
    expect(same, "the features of one batch change as it looks at the next")


def builds_itself_from_its_weights(extractor: TrainableExtractor, bench: Bench) -> None:
    """Raise where a trained network comes back from its file as another one."""
    network = extractor.network(SIDE, CLASSES).eval()
    made = _with_weights_of(extractor, network, bench)
    images = _images(4, SIDE)
    found = made.load("cpu", bench.cache / "weights")(images).logits
    torch.testing.assert_close(found, network(images / 127.5 - 1).detach())
    expect(made.label("its name") == "mine", f"trained as 'mine', it is called {made.label('its name')!r}")
    try:
        extractor.network(1, CLASSES)
    except UsageError:
        return
    raise BrokenPromiseError("a network for pictures of 1 px is built, where a UsageError is due")


def _loaded(extractor: Extractor, bench: Bench) -> LoadedExtractor:
    """The extractor on the CPU; one that users train has the weights of an untrained network."""
    if isinstance(extractor, TrainableExtractor) and extractor.weights is None:
        extractor = _with_weights_of(extractor, extractor.network(SIDE, CLASSES), bench)
    try:
        return extractor.load("cpu", bench.cache / "weights")
    except WeightsUnavailableError as error:
        raise UncheckedError(str(error)) from error


def _with_weights_of(extractor: TrainableExtractor, network: torch.nn.Module, bench: Bench) -> TrainableExtractor:
    path = bench.scratch / "weights.safetensors"
    given = {"weights": path, "sha256": write_weights(network, path), "trained": "mine"}
    return type(extractor)(**{**dict(extractor), **given})


def _images(count: int, side: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=random)


PROMISES = (
    Promise("its weights are identified", identifies_its_weights),
    Promise("images of any size have features, the same alone and beside others", sees_each_image_by_itself),
    Promise("features stay as they were given", gives_new_tensors),
    Promise(
        "a trained network is built from its weights alone",
        builds_itself_from_its_weights,
        lambda extractor: isinstance(extractor, TrainableExtractor),
    ),
)
