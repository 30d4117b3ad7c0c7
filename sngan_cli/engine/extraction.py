"""An extractor at work: which one, in which arithmetic, and what scores have to say of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sngan_cli import trained_extractors
from sngan_cli.catalog import third_party
from sngan_cli.composition import Composition
from sngan_cli.contracts import Features, LoadedExtractor, NamedClasses, OfOneSide
from sngan_cli.engine.device import enough_memory
from sngan_cli.engine.source import source_sha256
from sngan_cli.errors import ComponentError
from sngan_cli.wording import first_of

Precision = Literal["fp32", "tf32", "bf16"]


@dataclass
class Extraction:
    """Features of images by the extractor that scores call `name`, computed on `device`.

    In bf16 its convolutions and matrix products run in bfloat16, and the first batch is looked at in float32 as well:
    `difference` is how far the pooled features are from those, as a part of their norm. `resized` says from which side
    to which images are brought, where the extractor was trained for one side and was shown another. `maker` names what
    else features depend on: the component, its version, all code of its package, and its options. `accuracy` is that of
    a trained extractor on pictures that were held out, and `chance` what luck may make of it, as far as they are known.
    `package` is the third party's that it comes from, if it does.
    """

    loaded: LoadedExtractor
    name: str
    device: torch.device
    precision: Precision = "fp32"
    difference: float | None = None
    resized: str | None = None
    maker: str = ""
    accuracy: float | None = None
    chance: float | None = None
    package: str = ""
    _sizes: tuple[int, int] | None = None

    @classmethod
    def of(
        cls, composition: Composition, loaded: LoadedExtractor, device: torch.device, precision: Precision
    ) -> Extraction:
        """The extractor of a composition, whose weights are loaded."""
        made, entry = composition.extractor, composition.entries["extractor"]
        maker = f"{entry.distribution} {entry.version} {source_sha256(type(made))} {made.unusual_options()}"
        accuracy, chance = trained_extractors.accuracy_of(dict(made)) or (None, None)
        name = made.label(composition.config.extractor.name)
        package = third_party("extractor", entry.name)
        return cls(loaded, name, device, precision, maker=maker, accuracy=accuracy, chance=chance, package=package)

    def __call__(self, images: Tensor, *, compare: bool = True) -> Features:
        """Extract from uint8 images (N, 3, H, W), in float32: as much is kept of features of real images.

        Only where it is to `compare` may their features be those of which the `difference` is measured.
        """
        if isinstance(self.loaded, OfOneSide) and images.shape[-1] != self.loaded.side:
            self.resized = f"{images.shape[-1]} px to {self.loaded.side} px"
        remedy = "end other programs that use it, or score by `sngan evaluate --device cpu`"
        with enough_memory(f"where the extractor {self.name!r} looks at images", remedy), torch.no_grad():
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                found = features_of(self.loaded, images, self.name)
            found = Features(found.pooled.float(), found.logits.float())
            self._check_sizes((found.pooled.shape[1], found.logits.shape[1]))
            if compare and self.precision == "bf16" and self.difference is None:
                exact = self.loaded(images).pooled
                least = torch.finfo(exact.dtype).tiny  # where all features are 0
                self.difference = ((found.pooled - exact).norm() / exact.norm().clamp_min(least)).item()
            return found

    def _check_sizes(self, found: tuple[int, int]) -> None:
        if self._sizes is not None and self._sizes != found:
            raise ComponentError(
                f"{self.name!r} gives {found[0]} pooled features and {found[1]} logits, and gave {self._sizes[0]} and "
                f"{self._sizes[1]} for images before: tell its author."
            )
        self._sizes = found

    @property
    def identity(self) -> str:
        """Names what features are, whoever asks for them: the weights, the arithmetic, and what else they depend on."""
        return f"{self.loaded.weights_sha256} {self.precision} {self.maker}"

    @property
    def label(self) -> str:
        """What the protocol of a score calls it."""
        return f"{self.name}@{self.loaded.weights_sha256[:8]}"

    def settings(self) -> dict[str, str]:
        """What makes scores incomparable with those in full precision."""
        return {} if self.precision == "fp32" else {"precision": self.precision}

    def evidence(self) -> dict[str, str | float]:
        """What a score rests on, as far as it is this extractor."""
        found: dict[str, str | float] = {
            "extractor": self.name,
            "weights_sha256": self.loaded.weights_sha256,
            "precision": self.precision,
        }
        if self.accuracy is not None:
            found["extractor_accuracy"] = self.accuracy
        if self.package:
            found["extractor_package"] = self.package
        if self.difference is not None:
            found["difference of features from fp32"] = self.difference
        if self.resized is not None:
            found["resized"] = self.resized
        return found

    def remarks(self, class_names: Sequence[str] | None) -> Iterator[str]:
        """Say where what is scored by it means little: images of these classes, where they are known."""
        if self.accuracy is not None and self.chance is not None and self.accuracy <= self.chance:
            yield (
                f"the extractor names the class of {self.accuracy:.1%} of its held-out pictures, no more than "
                "by chance: the value means little"
            )
        own = classes_of(self.loaded)
        if class_names and own and not {*class_names} & {*own}:
            yield f"the extractor was trained on other classes than these images have, {first_of(own)}"


def classes_of(loaded: LoadedExtractor) -> Sequence[str]:
    """The classes that an extractor tells apart, in the order of its logits; none where they are not known."""
    return tuple(loaded.class_names) if isinstance(loaded, NamedClasses) else ()


def features_of(loaded: LoadedExtractor, images: Tensor, name: str) -> Features:
    """What the extractor `name` gives of images (N, 3, H, W); raises `ComponentError` where it is none to score by."""
    found: object = loaded(images)
    if not isinstance(found, Features):
        raise ComponentError(f"{name!r} gives {type(found).__name__}, not Features: tell its author.")
    parts = found.pooled, found.logits
    given = [tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__ for part in parts]
    if not all(isinstance(part, Tensor) and part.ndim == 2 and len(part) == len(images) for part in parts):
        raise ComponentError(
            f"{name!r} gives pooled features of shape {given[0]} and logits of shape {given[1]} for {len(images)} "
            "images, not tensors (N, D) and (N, K): tell its author."
        )
    if found.pooled.shape[1] == 0:
        raise ComponentError(f"{name!r} gives no pooled features, but a tensor of shape {given[0]}: tell its author.")
    if unfit := int((~torch.cat(parts, 1).isfinite().all(1)).sum()):
        raise ComponentError(
            f"{name!r} gives features that are NaN or infinite for {unfit} of {len(images)} images: nothing can be "
            "scored by them."
        )
    return found
