"""Each promise is found broken where it is: for each, a component that keeps the others as far as it can."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import PrivateAttr
from torch import Tensor, nn
from torch.nn import functional as F

from sngan_cli import conformance
from sngan_cli.catalog import Catalog, Entry, kind_of
from sngan_cli.conformance import broken, check, promises_of
from sngan_cli.contracts import (
    GROUPS,
    Architecture,
    Component,
    DataError,
    Dataset,
    Extractor,
    Features,
    Loss,
    Metric,
    NetworkShape,
    Normalization,
    Pictures,
    TrainableExtractor,
    UsageError,
)


class Sound(Loss, contract=1):
    """Keeps all promises."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return fake_logits.mean() - real_logits.mean()

    def generator(self, fake_logits: Tensor) -> Tensor:
        return -fake_logits.mean()


class Silent(Sound, contract=1):
    """Has an option that nothing is said of."""

    margin: float = 1.0


class Unordered(Sound, contract=1):
    """Has an option in no order."""

    parts: frozenset[str] = frozenset({"a"})
    """Parts."""


class OfTomorrow(Sound, contract=2):
    """Is written for another contract."""


class Unreduced(Sound, contract=1):
    """Gives a loss for each image."""

    def generator(self, fake_logits: Tensor) -> Tensor:
        return -fake_logits


class Infinite(Sound, contract=1):
    """Gives no finite loss."""

    def generator(self, fake_logits: Tensor) -> Tensor:
        return -fake_logits.mean() / 0


class Summed(Sound, contract=1):
    """Sums over the batch."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return fake_logits.sum() - real_logits.sum()


class Reversed(Sound, contract=1):
    """Moves G away."""

    def generator(self, fake_logits: Tensor) -> Tensor:
        return fake_logits.mean()


class Detached(Sound, contract=1):
    """Leaves G without a gradient."""

    def generator(self, fake_logits: Tensor) -> Tensor:
        return -fake_logits.mean().detach()


class Penalising(Sound, contract=1):
    """Penalises each image."""

    def penalty(self, discriminator: Any, real: Tensor, fake: Tensor) -> Tensor:
        return torch.ones(len(real))


class Gradients(Sound, contract=1):
    """Penalises gradients between real and generated images."""

    host: str = ""
    """What it makes on the host: where between them, or the gradient that it begins with."""

    def penalty(self, discriminator: Any, real: Tensor, fake: Tensor) -> Tensor:
        share = torch.rand(len(real), 1, 1, 1, device="cpu" if self.host == "share" else real.device)
        between = (share * real + (1 - share) * fake).requires_grad_()
        ones = torch.ones(len(real), device="cpu" if self.host == "ones" else real.device)
        (gradient,) = torch.autograd.grad(discriminator(between), between, ones, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


class Together(Sound, contract=1):
    """Has real and generated images judged in one pass."""

    def penalty(self, discriminator: Any, real: Tensor, fake: Tensor) -> Tensor:
        logits: Tensor = discriminator(torch.cat([real, fake]))
        return logits.square().mean()


class Apart(Sound, contract=1):
    """Has real and generated images judged each with their own labels."""

    def penalty(self, discriminator: Any, real: Tensor, fake: Tensor) -> Tensor:
        logits: Tensor = discriminator(real) - discriminator(fake, of="fake")
        return logits.square().mean()


class Remembering(Sound, contract=1):
    """Keeps a mean of real logits: for the next losses of D, for that of G, or the number of penalties so far."""

    of: str = "D"
    """Which loss looks at it."""

    _mean: Tensor | None = PrivateAttr(default=None)
    _penalties: int = PrivateAttr(default=0)

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        before, now = self._mean, real_logits.detach().mean()
        self._mean = now if before is None else 0.99 * before + 0.01 * now
        kept = self._mean if self.of == "D" else 0
        return super().discriminator(real_logits, fake_logits) + kept

    def generator(self, fake_logits: Tensor) -> Tensor:
        kept = self._mean if self.of == "G" and self._mean is not None else 0
        return super().generator(fake_logits) + kept

    def penalty(self, discriminator: Any, real: Tensor, fake: Tensor) -> Tensor | None:
        self._penalties += 1
        due = self.of == "penalty" and self._penalties % 16 == 1
        return discriminator(real).square().mean() if due else None


class TopK(Sound, contract=1):
    """Lets G learn from a fraction of the batch, the best (Sinha et al., 2020)."""

    fraction: float = 0.5
    """Of the batch."""

    def generator(self, fake_logits: Tensor) -> Tensor:
        return -fake_logits.topk(int(self.fraction * len(fake_logits))).values.mean()


class Noisy(Sound, contract=1):
    """Draws random numbers, the same whatever the batch."""

    def generator(self, fake_logits: Tensor) -> Tensor:
        return super().generator(fake_logits) * (1 + 1e-6 * torch.rand((), device=fake_logits.device))


class Overwriting(Sound, contract=1):
    """Clamps logits, or halves images, in place."""

    what: str = "logits"
    """What it changes."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        if self.what == "logits":
            real_logits.detach().clamp_(-0.1, 0.1)
        return super().discriminator(real_logits, fake_logits)

    def penalty(self, discriminator: Any, real: Tensor, fake: Tensor) -> Tensor:
        logits: Tensor = discriminator(real.mul_(0.5) if self.what == "images" else real)
        return logits.square().mean()


class OnTheHost(Sound, contract=1):
    """Makes a tensor where it is."""

    def generator(self, fake_logits: Tensor) -> Tensor:
        return -(fake_logits * torch.ones(len(fake_logits))).mean()


class Constant(Metric, contract=1):
    """Keeps all promises."""

    def accumulator(self, images: int) -> Any:
        if images < 1:
            raise UsageError("no images")
        return Counted()

    def protocol(self) -> Mapping[str, Any]:
        return {}


class Counted:
    """Counts images."""

    def __init__(self) -> None:
        self.images = self.batches = 0

    def add(self, features: Features) -> None:
        self.images += len(features.pooled)
        self.batches += 1

    def result(self) -> tuple[float, float | None]:
        return float(self.images), None


class OfBatches(Constant, contract=1):
    """Counts batches."""

    def accumulator(self, images: int) -> Any:
        class Batches(type(super().accumulator(1))):  # type: ignore[misc]
            def result(self) -> tuple[float, float | None]:
                return float(self.batches), None

        return Batches() if images else super().accumulator(images)


class Nothing(Constant, contract=1):
    """Has no value."""

    def accumulator(self, images: int) -> Any:
        class NotANumber(Counted):
            def result(self) -> tuple[float, float | None]:
                return math.nan, None

        return NotANumber() if images else super().accumulator(images)


class Recorded(Constant, contract=1):
    """Gives all that can be recorded, one thing of which goes wrong."""

    what: str = ""
    """What goes wrong."""

    def accumulator(self, images: int) -> Any:
        what = self.what

        class Full(Counted):
            def result(self) -> tuple[float, float | None]:
                value, std = torch.tensor(1.0), np.float32(0.5)
                return value if what == "tensor" else 1.0, std if what == "std" else np.float64(0.5)  # type: ignore[return-value]

            def remark(self) -> str | None:
                return [].pop() if what == "remark" else "of no consequence"

            def per_class(self) -> list[float]:
                values = torch.tensor([0.5, torch.nan, 1.0])
                return [*values] if what == "classes" else values[: 2 if what == "few" else 3].tolist()  # type: ignore[list-item]

        return Full() if images else super().accumulator(images)


class Spoiling(Constant, contract=1):
    """Changes what other metrics are shown, too."""

    def accumulator(self, images: int) -> Any:
        class Normalising(Counted):
            def add(self, features: Features) -> None:
                features.logits.sub_(features.logits.mean())

        return Normalising() if images else super().accumulator(images)


class SpoilingLate(Constant, contract=1):
    """Keeps what it is shown, and changes it in the end."""

    def accumulator(self, images: int) -> Any:
        class Normalising(Counted):
            def add(self, features: Features) -> None:
                self.kept = features.logits

            def result(self) -> tuple[float, float | None]:
                return self.kept.sub_(self.kept.mean()).abs().max().item(), None

        return Normalising() if images else super().accumulator(images)


class OfNoImages(Constant, contract=1):
    """Scores no images."""

    def accumulator(self, images: int) -> Any:
        return Counted()


class Unwritten(Constant, contract=1):
    """Has a setting that cannot be written down, or not by its name."""

    setting: str = "kernel"
    """What it is called."""

    def protocol(self) -> Mapping[str, Any]:
        return {self.setting: 5 if self.setting == "images" else object()}


class Means(Extractor, contract=1):
    """Keeps all promises: mean colours."""

    def load(self, device: str, cache: Path) -> Any:
        return LoadedMeans()


class LoadedMeans:
    """Means over pixels."""

    weights_sha256 = "0" * 64

    def __call__(self, images: Tensor) -> Features:
        found = images.float().mean((2, 3))
        return Features(found, found)


class Reusing(Means, contract=1):
    """Writes all features into one tensor."""

    def load(self, device: str, cache: Path) -> Any:
        class Buffered(LoadedMeans):
            room = torch.zeros(100, 3)

            def __call__(self, images: Tensor) -> Features:
                found = self.room[: len(images)].copy_(super().__call__(images).pooled)
                return Features(found, found.clone())

        return Buffered()


class Unidentified(Means, contract=1):
    """Does not say which weights it has."""

    def load(self, device: str, cache: Path) -> Any:
        loaded = LoadedMeans()
        loaded.weights_sha256 = "latest"
        return loaded


class Neighbourly(Means, contract=1):
    """Sees images beside one another."""

    def load(self, device: str, cache: Path) -> Any:
        class Centred(LoadedMeans):
            def __call__(self, images: Tensor) -> Features:
                found = super().__call__(images).pooled
                return Features(found - found.mean(0), found)

        return Centred()


class Unequal(Means, contract=1):
    """Gives images of one batch other features, in number, than those of another."""

    of: str = "later"
    """Batches that have more."""

    def load(self, device: str, cache: Path) -> Any:
        of = self.of

        class Growing(LoadedMeans):
            batches = 0

            def __call__(self, images: Tensor) -> Features:
                found = super().__call__(images).pooled
                self.batches += 1
                more = self.batches > 4 if of == "later" else images.shape[-1] > 8
                return Features(torch.cat([found, found], 1) if more else found, found)

        return Growing()


class Forgetful(TrainableExtractor, contract=1):
    """Does not build its network from the weights."""

    def network(self, side: int, classes: int) -> nn.Module:
        if side < 2:
            raise UsageError("too small")
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, classes))

    def load(self, device: str, cache: Path) -> Any:
        return LoadedMeans()


class Eager(Forgetful, contract=1):
    """Builds networks of any size, but is called by another name."""

    def load(self, device: str, cache: Path) -> Any:
        from safetensors.torch import load_file

        assert self.weights is not None
        network = self.network(16, 3)
        network.load_state_dict(load_file(self.weights))

        class Loaded(LoadedMeans):
            def __call__(self, images: Tensor) -> Features:
                x = F.interpolate(images / 127.5 - 1, (16, 16)) if images.shape[-1] != 16 else images / 127.5 - 1
                found = network(x).detach()
                return Features(found, found)

        return Loaded()

    def label(self, name: str) -> str:
        return name


class Drawn(Dataset, contract=1):
    """Keeps all promises."""

    needs_data_dir = False

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        return Grey()

    def default_side(self, pictures: Pictures) -> int:
        return 8


class Grey(Pictures):
    """Grey pictures of two classes."""

    identity = "grey"
    class_names: Any = ("dark", "light")
    read_before = 0

    def __len__(self) -> int:
        return 6

    def name(self, index: int) -> str:
        return f"picture {index}"

    def read(self, index: int, side: int) -> tuple[np.ndarray, int]:
        return np.full((side, side, 3), 40 * index, np.uint8), index % 2


class Unlabelled(Drawn, contract=1):
    """Has a label too many."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        pictures = Grey()
        pictures.class_names = ("one",)
        return pictures


class Halved(Drawn, contract=1):
    """Has labels between the classes."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        class Halves(Grey):
            def read(self, index: int, side: int) -> tuple[np.ndarray, int]:
                return super().read(index, side)[0], 0.5  # type: ignore[return-value]

        return Halves()


class Late(Drawn, contract=1):
    """Has a label too many in the last of many pictures."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        class Many(Grey):
            def __len__(self) -> int:
                return 100

            def read(self, index: int, side: int) -> tuple[np.ndarray, int]:
                return np.zeros((side, side, 3), np.uint8), 2 if index == 99 else 0

        return Many()


class Counts(Drawn, contract=1):
    """Has labels of NumPy's."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        class Integers(Grey):
            def read(self, index: int, side: int) -> tuple[np.ndarray, int]:
                return super().read(index, side)[0], np.uint8(index % 2)  # type: ignore[return-value]

        return Integers()


class Repeating(Drawn, contract=1):
    """Calls all classes the same."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        pictures = Grey()
        pictures.class_names = ("grey", "grey")
        return pictures


class Spelt(Drawn, contract=1):
    """Takes the letters of a word for the names of its classes."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        pictures = Grey()
        pictures.class_names = "ab"
        return pictures


class Fractional(Drawn, contract=1):
    """Has a side that is no whole number."""

    def default_side(self, pictures: Pictures) -> int:
        return 8.0  # type: ignore[return-value]


class Flickering(Drawn, contract=1):
    """Draws other pictures each time."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        class Noise(Grey):
            def read(self, index: int, side: int) -> tuple[np.ndarray, int]:
                self.read_before += 1
                return np.full((side, side, 3), self.read_before, np.uint8), 0

        return Noise()


class Floating(Drawn, contract=1):
    """Draws floats."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        class Floats(Grey):
            def read(self, index: int, side: int) -> tuple[np.ndarray, int]:
                return np.zeros((side, side, 3), np.float32), 0

        return Floats()


class Unscored(Drawn, contract=1):
    """Names an extractor that is not there."""

    extractor = "no-such-extractor"


class Contented(Drawn, contract=1):
    """Makes do without its pictures."""

    needs_data_dir = True


class Dumb(Contented, contract=1):
    """Does not say where it looked."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        raise DataError("there is nothing")


class Free(Normalization, contract=1):
    """Keeps all promises: constrains nothing."""


class Reshaping(Normalization, contract=1):
    """Puts another layer in place of a linear one."""

    def constrain(self, layer: nn.Module) -> nn.Module:
        return nn.Linear(4, 9) if isinstance(layer, nn.Linear) else layer


class Freezing(Normalization, contract=1):
    """Lets biases not learn."""

    def constrain(self, layer: nn.Module) -> nn.Module:
        for name, parameter in layer.named_parameters():
            parameter.requires_grad_(name != "bias")
        return layer


class Counting(nn.Module):
    """Scales a weight, and may count how often it did, or how often it was advanced; what goes wrong is `what`."""

    steps: Tensor

    def __init__(self, layer: nn.Module, what: str) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))
        self._layer, self._what, self._advanced = [layer], what, 0

    def forward(self, weight: Tensor) -> Tensor:
        if self._what == "forward":
            self.steps += 1
        if self._what == "bf16":
            rows = weight.flatten(1)
            return weight * torch.dot(torch.ones(len(rows)), rows @ torch.ones(rows.shape[1]))
        if self._what == "noise":
            return weight + torch.randn_like(weight)
        return weight * torch.ones(weight.shape) if self._what == "host" else weight * (1 + self._advanced)

    def advance(self) -> None:
        if self._what == "python":
            self._advanced += 1
        if self._what == "replace":
            self.steps = self.steps + 1
        if self._what == "advance":
            with torch.no_grad():
                self._layer[0].parametrizations.weight.original.add_(1)


class Ticking(Normalization, contract=1):
    """Has a state that a forward pass changes, or the weight that advancing does."""

    what: str = "forward"
    """What goes wrong."""

    def constrain(self, layer: nn.Module) -> nn.Module:
        torch.nn.utils.parametrize.register_parametrization(layer, "weight", Counting(layer, self.what))
        return layer


class Elsewhere(nn.Module):
    """Multiplies a weight by a number that no state dict knows, and copies share."""

    def __init__(self) -> None:
        super().__init__()
        self._scale = [torch.rand(()) + 0.5]

    def __deepcopy__(self, memo: Any) -> Elsewhere:
        copy = Elsewhere()
        memo[id(self)] = copy
        return copy

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self._scale[0]


class Hidden(Normalization, contract=1):
    """Keeps a state out of sight."""

    def constrain(self, layer: nn.Module) -> nn.Module:
        torch.nn.utils.parametrize.register_parametrization(layer, "weight", Elsewhere())
        return layer


class OfFeatures(Normalization, contract=1):
    """Normalises features by a module."""

    what: str = "pool"
    """What goes wrong."""

    def features(self, channels: int, classes: int | None) -> nn.Module:
        return Strange(channels, self.what)


class Strange(nn.Module):
    """Does one thing wrong to features."""

    def __init__(self, channels: int, what: str) -> None:
        super().__init__()
        self.what, self.batch_statistics = what, what == "declare"
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, h: Tensor, y: Tensor | None) -> Tensor:
        match self.what:
            case "pool":
                return F.avg_pool2d(h + self.bias, 2)
            case "labels":
                return h + self.bias + (0 if y is None else y.view(-1, 1, 1, 1))
            case "mix":
                return h + self.bias - h.mean()
            case "count":
                self.seen = self.seen + 1
            case "host":
                h = h + torch.zeros(h.shape[1:])
            case "sigmoid":
                return torch.sigmoid(h + self.bias)
            case "bf16" if h.dtype == torch.bfloat16:
                h = h * torch.nan
            case "noise":
                h = h + torch.randn_like(h)
        return h + self.bias


class Plain(Architecture, contract=1):
    """Keeps all promises, unless it is told not to."""

    generator_sides = (4, 8)
    discriminator_sides = (4, 8)
    what: str = ""
    """What goes wrong."""

    def generator(self, shape: NetworkShape, norm: Normalization) -> nn.Module:
        return PlainGenerator(shape, norm, self.what)

    def discriminator(self, shape: NetworkShape, norm: Normalization) -> nn.Module:
        return PlainDiscriminator(shape, norm, self.what)


class PlainGenerator(nn.Module):
    """A linear layer and a class embedding."""

    latent_dim = 5

    def __init__(self, shape: NetworkShape, norm: Normalization, what: str) -> None:
        super().__init__()
        side = 4 if what == "side" else shape.side
        self.what, self._shape = what, (3, side, side)
        self.linear = norm.constrain(nn.Linear(5, 3 * side * side))
        self.embed = None if shape.classes is None else norm.constrain(nn.Embedding(shape.classes, 5))
        if what == "idle":
            self.idle = nn.Linear(2, 2)
        if what == "zero":
            self.zero = nn.Linear(5, 3 * side * side)
        if what == "seed":
            self.linear.bias = nn.Parameter(
                torch.from_numpy(np.random.default_rng().normal(size=3 * side * side)).float()
            )
        self.gamma = nn.Parameter(torch.zeros(())) if what == "gamma" else None
        self.branch = nn.Linear(5, 3 * side * side) if what == "gamma" else None
        self.basis = nn.Parameter(torch.randn(5), requires_grad=False) if what == "frozen" else None
        self._hidden = [torch.rand(())] if what == "hidden" else [torch.zeros(())]
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        if self.what == "labels" and y is not None:
            y = torch.zeros_like(y)
        if self.embed is not None:
            z = z + self.embed(y)
        if self.what == "count":
            self.passes = self.passes + 1
        if self.what == "advance":
            for module in self.modules():
                if callable(getattr(module, "advance", None)):
                    module.advance()  # type: ignore[operator]
        if self.basis is not None:
            z = z + self.basis.sin()
        h = self.linear(z) + self._hidden[0].to(z.device)
        if self.branch is not None:
            h = h + self.gamma * self.branch(z)
        if self.what == "noise":
            h = h + torch.randn(h.shape, device=h.device)
        if self.what == "zero":
            h = h + 0 * self.zero(z)
        if self.what == "bf16" and h.dtype == torch.bfloat16:
            h = h * torch.nan
        images = h.unflatten(1, self._shape)
        if self.what == "evaluation" and not self.training:
            return images * torch.nan
        return images * 9 if self.what == "range" else torch.tanh(images)


class PlainDiscriminator(nn.Module):
    """A convolution and a linear layer, and a class embedding."""

    def __init__(self, shape: NetworkShape, norm: Normalization, what: str) -> None:
        super().__init__()
        self.what = what
        if what == "declared":
            self.batch_statistics = True
            self.register_buffer("mean", torch.zeros(()))
        self.spectral = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 3, 1)) if what == "spectral" else None
        self.backbone = nn.Conv2d(3, 3, 1).requires_grad_(False) if what == "frozen" else None
        self.conv = norm.constrain(nn.Conv2d(3, 4, 3, padding=1))
        self.linear = norm.constrain(nn.Linear(4 * shape.side**2, 1))
        self._rates = torch.linspace(0, 0.5, 3).tolist() if what == "constant" else [1.0]
        self.embed = None if shape.classes is None else norm.constrain(nn.Embedding(shape.classes, 1))

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        if self.what == "noise" and self.training:
            x = F.dropout(x + torch.rand(len(x), 1, 1, 1, device=x.device))
        if self.what == "order":
            x = x + torch.randn_like(x)
        if self.spectral is not None:
            x = self.spectral(x)
        if self.backbone is not None:
            x = self.backbone(x)
        h = self.conv(x)
        h = h * self._rates[-1]
        if self.what in ("batch", "declared"):
            h = h + h.std(0).mean()
        if self.what == "declared" and self.training:
            self.mean = 0.9 * self.mean + 0.1 * h.detach().mean()
        if self.what == "format" and h.is_contiguous(memory_format=torch.channels_last) and h.shape[1] > 1:
            h = h.permute(0, 2, 3, 1)
        if self.what == "host":
            h = h + torch.zeros(len(x), 1, 1, 1)
        logits: Tensor = self.linear(F.leaky_relu(h).flatten(1)).squeeze(1)
        return logits if self.embed is None else logits + self.embed(y).squeeze(1)


BROKEN: list[tuple[Component, str]] = [
    (Silent(), "documented"),
    (OfTomorrow(), "documented"),
    (Unordered(), "are read back"),
    (Unreduced(), "losses are finite scalars"),
    (Infinite(), "losses are finite scalars"),
    (Summed(), "means over the batch"),
    (Reversed(), "taken for real"),
    (Detached(), "taken for real"),
    (OnTheHost(), "of logits on a GPU"),
    (Overwriting(), "logits and images stay"),
    (Overwriting(what="images"), "logits and images stay"),
    (Remembering(), "nothing that was seen before"),
    (Remembering(of="G"), "nothing that was seen before"),
    (Remembering(of="penalty"), "nothing that was seen before"),
    (Penalising(), "a penalty, where"),
    (Together(), "of N images at a time"),
    (Gradients(host="share"), "of images on a GPU"),
    (Gradients(host="ones"), "of images on a GPU"),
    (Recorded(what="tensor"), "what it gives are numbers"),
    (Recorded(what="std"), "what it gives are numbers"),
    (Recorded(what="remark"), "what it gives are numbers"),
    (Recorded(what="classes"), "what it gives are numbers"),
    (Recorded(what="few"), "what it gives are numbers"),
    (OfBatches(), "in any batches"),
    (Nothing(), "in any batches"),
    (Spoiling(), "it is shown stay as they are"),
    (SpoilingLate(), "it is shown stay as they are"),
    (OfNoImages(), "no images is refused"),
    (Unwritten(), "numbers and texts"),
    (Unwritten(setting="images"), "numbers and texts"),
    (Unidentified(), "weights are identified"),
    (Reusing(), "stay as they were given"),
    (Neighbourly(), "alone and beside others"),
    (Unequal(), "alone and beside others"),
    (Unequal(of="larger"), "alone and beside others"),
    (Forgetful(), "built from its weights alone"),
    (Eager(), "built from its weights alone"),
    (Unlabelled(), "a label of its classes"),
    (Halved(), "a label of its classes"),
    (Late(), "a label of its classes"),
    (Repeating(), "no two classes"),
    (Spelt(), "a label of its classes"),
    (Fractional(), "from any thread"),
    (Flickering(), "from any thread"),
    (Floating(), "from any thread"),
    (Unscored(), "an extractor that is installed"),
    (Contented(), "refused by name"),
    (Dumb(), "refused by name"),
    (Reshaping(), "layers keep their shapes"),
    (Freezing(), "parameter of a constrained layer learns"),
    (Ticking(), "a forward pass changes"),
    (Ticking(what="advance"), "advancing a constraint"),
    (Ticking(what="replace"), "writes into the tensors"),
    (Ticking(what="python"), "restored from its state dict"),
    (Ticking(what="bf16"), "in bfloat16 a constrained layer"),
    (Hidden(), "equal and apart"),
    (Hidden(), "restored from its state dict"),
    (OfFeatures(), "features keep their shape"),
    (OfFeatures(what="labels"), "need no labels"),
    (OfFeatures(what="mix"), "depend on the batch"),
    (OfFeatures(what="sigmoid"), "may be overwritten"),
    (OfFeatures(what="bf16"), "in bfloat16 normalised features"),
    (OfFeatures(what="declare"), "depend on the batch"),
    (OfFeatures(what="host"), "all that normalises features"),
    (Ticking(what="host"), "all of a layer"),
    (OfFeatures(what="count"), "in evaluation"),
    (Architecture(), "a generator or a discriminator"),
    (Plain(what="range"), "images in [-1, 1]"),
    (Plain(what="evaluation"), "images in [-1, 1]"),
    (Plain(what="side"), "every side"),
    (Plain(what="idle"), "reach every parameter"),
    (Plain(what="zero"), "every weight learns"),
    (Plain(what="labels"), "labels matter"),
    (Plain(what="batch"), "a logit is of its image alone"),
    (Plain(what="advance"), "a pass changes running statistics alone"),
    (Plain(what="spectral"), "a pass changes running statistics alone"),
    (Plain(what="count"), "in evaluation"),
    (Plain(what="seed"), "seed decides"),
    (Plain(what="hidden"), "a copy and a restored network"),
    (Plain(what="format"), "channels-last"),
    (Plain(what="bf16"), "bfloat16"),
    (Plain(what="host"), "all of a network"),
]


@pytest.mark.parametrize(
    ("tried", "promise"), BROKEN, ids=[f"{type(tried).__name__}-{promise}" for tried, promise in BROKEN]
)
def test_a_broken_promise_is_found(tried: Component, promise: str, tmp_path: Path) -> None:
    assert [found for found in broken(tried, tmp_path) if promise in found.partition(":")[0]]


def test_every_promise_can_be_broken() -> None:
    kinds = {kind_of(tried): tried for tried, _ in BROKEN}
    assert kinds.keys() == GROUPS.keys()
    said = [promise.says for tried in kinds.values() for promise in promises_of(tried)]
    assert [says for says in said if not any(part in says for _, part in BROKEN)] == []


@pytest.mark.parametrize(
    "tried",
    [
        Sound(),
        Gradients(),
        Apart(),
        TopK(),
        TopK(fraction=0.7),
        Noisy(),
        Constant(),
        Recorded(),
        Means(),
        Drawn(),
        Counts(),
        Free(),
        Ticking(what="noise"),
        OfFeatures(what="noise"),
        Plain(),
        Plain(what="constant"),
        Plain(what="gamma"),
        Plain(what="noise"),
        Plain(what="frozen"),
        Plain(what="declared"),
    ],
    ids=repr,
)
def test_kept_promises_are_found_kept(tried: Component, tmp_path: Path) -> None:
    assert {found.outcome for found in check(tried, tmp_path)} == {"kept"}


def test_what_fails_in_its_own_way_is_broken(tmp_path: Path) -> None:
    class Raising(Sound, contract=1):
        """Divides by zero."""

        def generator(self, fake_logits: Tensor) -> Tensor:
            raise ZeroDivisionError("oops\nand more")

    assert broken(Raising(), tmp_path) == [
        "both losses are finite scalars: ZeroDivisionError: oops",
        "losses are means over the batch: ZeroDivisionError: oops",
        "D is moved to tell images apart, and G to be taken for real: ZeroDivisionError: oops",
        "losses depend on nothing that was seen before: ZeroDivisionError: oops",
        "logits and images stay as they are: ZeroDivisionError: oops",
        "of logits on a GPU, losses are there: ZeroDivisionError: oops",
    ]


def test_one_that_ends_the_program_is_broken_and_what_it_prints_is_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Ending(Sound, contract=1):
        """Leaves."""

        def generator(self, fake_logits: Tensor) -> Tensor:
            print("bye")
            raise SystemExit(0)

    assert "both losses are finite scalars: SystemExit: 0" in broken(Ending(), tmp_path)
    said = capsys.readouterr()
    assert said.out == ""
    assert "bye" in said.err


def test_a_loss_without_a_gradient_is_said_to_have_none(tmp_path: Path) -> None:
    assert broken(Detached(), tmp_path) == [
        "D is moved to tell images apart, and G to be taken for real: the loss of G does not depend on the logits: it "
        "has no gradient"
    ]


def test_a_tensor_off_the_gpu_is_told_apart_from_a_value_that_the_host_reads(tmp_path: Path) -> None:
    class Peeking(Sound, contract=1):
        """Looks at a value."""

        def generator(self, fake_logits: Tensor) -> Tensor:
            return -fake_logits.mean() / (1 + 0 * fake_logits.mean().item())

    (said,) = broken(OnTheHost(), tmp_path)
    assert "given tensors on a GPU, and makes or keeps others on the CPU" in said
    (found,) = [found for found in check(Peeking(), tmp_path) if found.outcome != "kept"]
    assert (found.promise, found.outcome) == ("of logits on a GPU, losses are there", "unchecked")
    assert found.why.startswith("the host reads a tensor's value")


def test_where_it_is_broken_is_said(tmp_path: Path) -> None:
    (found, *_) = broken(Plain(what="range"), tmp_path)
    first = Catalog.installed().names("normalization")[0]
    assert found.startswith(
        f"networks give images in [-1, 1] and logits: the unconditional generator with the normalization {first!r}: "
    )


def test_random_numbers_in_the_order_of_memory_leave_channels_last_unchecked(tmp_path: Path) -> None:
    (found,) = [found for found in check(Plain(what="order"), tmp_path) if found.outcome != "kept"]
    assert (found.promise, found.outcome) == ("channels-last gives the same", "unchecked")
    assert "torch.randn of a shape" in found.why


@pytest.mark.parametrize(("distribution", "faults"), [("of-others", 0), ("sngan", 1)])
def test_an_architecture_answers_for_no_normalization_of_others(
    distribution: str, faults: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "others_plugin.py").write_text(
        "from sngan_cli.contracts import Normalization\n\n\n"
        "class Saturating(Normalization, contract=1):\n"
        "    def constrain(self, layer):\n"
        "        return layer.register_forward_hook(lambda layer, x, h: h * float('nan')) and layer\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    faulty = Entry("normalization", "a-faulty-one", "others_plugin:Saturating", distribution, "1.0")
    catalog = Catalog([*Catalog.installed().entries(), faulty])
    monkeypatch.setattr(Catalog, "installed", lambda: catalog)
    said = broken(Plain(), tmp_path)
    assert sum("'a-faulty-one': what it gives is not finite" in each for each in said) == 2 * faults
    assert (said != []) == bool(faults)


def test_an_architecture_is_tried_with_the_normalizations_of_its_own_package(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        Entry("normalization", "ours", f"{Free.__module__}:Free", "ours", "1.0"),
        Entry("normalization", "theirs", "sngan_plugins.normalizations.none:NoNormalization", "theirs", "1.0"),
    ]
    assert list(conformance._normalizations(Catalog(entries), Plain())) == ["ours"]


def test_a_data_set_that_is_read_needs_its_pictures(tmp_path: Path) -> None:
    folder = Catalog.installed().make("dataset", "folder", {})
    assert "give its pictures with --data-dir" in {found.why for found in check(folder, tmp_path)}
    for name in ("ant", "bee"):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.new("RGB", (12, 12)).save(tmp_path / "data" / name / "0.png")
    assert {found.outcome for found in check(folder, tmp_path, tmp_path / "data")} == {"kept"}


def test_random_states_are_left_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    list(check(Plain(), tmp_path))
    assert torch.equal(torch.get_rng_state(), before)
