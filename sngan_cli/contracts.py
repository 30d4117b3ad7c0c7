"""Everything a plugin implements, on one page.

A component is a class registered under one of `GROUPS` in its distribution's entry points. Its fields are its
options: typed, documented by the string below each, validated by pydantic, defaults included, set by `--set
loss.margin=2` or in TOML, and recorded with the run. Every component names the major version of this page that
it was written for:

    class Hinge(Loss, contract=1):
        ...

No option is called `name`: in a configuration that is the component's own, beside which its options stand.

Images are float tensors (N, 3, H, W) in [-1, 1] unless said otherwise; labels y are int64 tensors (N,), or None where
the run is unconditional; logits are (N,).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from sngan_cli.errors import ComponentError, DataError, NotFoundError, UsageError, WeightsUnavailableError
from sngan_cli.wording import escaped

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor
    from torch.nn import Module

__all__ = [
    "CONTRACT", "GROUPS", "Accumulator", "Architecture", "Classwise", "Comparison", "Component", "ComponentError",
    "DataError", "Dataset", "Extractor", "Features", "Field", "Judge", "LoadedExtractor", "Loss", "Metric",
    "NamedClasses", "NetworkShape", "Normalization", "NotFoundError", "OfOneSide", "Pictures", "Reference", "Remarking",
    "TrainableExtractor", "UnreadablePictureError", "UsageError", "WeightConstraint", "WeightsUnavailableError",
]  # fmt: skip

CONTRACT = 1
"""Major version of this page. A component written for another one is refused."""

GROUPS: dict[str, str] = {
    "dataset": "sngan.datasets",
    "architecture": "sngan.architectures",
    "loss": "sngan.losses",
    "normalization": "sngan.normalizations",
    "metric": "sngan.metrics",
    "extractor": "sngan.extractors",
}


class Component(BaseModel):
    """What all components share: frozen, validated options and the contract version they were written for.

    A component with an option `name` is refused when it is loaded. Options are recorded as TOML, which has no None
    within a list, and one that is read back as another is refused: no sets, secrets or computed fields, no `Field` with
    alias or exclude, nor strict where TOML has another type (a list for a tuple, text for a Path), and None only where
    that is the default.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True, use_attribute_docstrings=True
    )
    contract: ClassVar[int | None] = None

    def __init_subclass__(cls, *, contract: int | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if contract is not None:
            cls.contract = contract


# Data sets -----------------------------------------------------------------------------------------------------------


class UnreadablePictureError(Exception):
    """One picture is broken; `str()` says why. The picture is skipped and counted, up to `Pictures.max_unreadable`."""


class Pictures(ABC):
    """An opened data set: random access to pictures that are decoded only when asked for. Safe to read from threads."""

    identity: str
    """Names the content (not the place) of the data set; the key of the cache of decoded pictures."""
    identity_covers_code: bool = False
    """True where `identity` changes whenever the code makes other pictures. Otherwise all code of the package of
    this class is part of the key, too: after an edit the pictures are decoded again."""
    class_names: Sequence[str] | None
    """One name for each class, all different and none empty, in label order; None where the pictures are unlabelled."""
    max_unreadable: int = 0
    """How many pictures may be broken before the data set is refused."""
    remarks: Sequence[str] = ()
    """Sentences that whoever trains on the pictures should know, such as what was passed over."""

    @abstractmethod
    def __len__(self) -> int:
        """Count the pictures, broken ones included."""

    @abstractmethod
    def name(self, index: int) -> str:
        """Name one picture in a message, such as its path in the archive."""

    def is_changed(self) -> bool:
        """Whether the pictures have changed since `identity` was made, as files have that were edited meanwhile."""
        return False

    def size(self, index: int) -> tuple[int, int] | None:
        """Width and height of one picture as it is stored, in pixels; None where nobody knows."""
        return None

    @abstractmethod
    def read(self, index: int, side: int) -> tuple[np.ndarray, int]:
        """Decode one picture to uint8 (side, side, 3) RGB and its label (0 where unlabelled).

        Raises `UnreadablePictureError` where the picture cannot be decoded; any `OSError` is taken for one.
        """


class Dataset(Component, ABC):
    """Pictures by name. It never touches a device: decoding, resizing and labels are all it knows."""

    needs_data_dir: ClassVar[bool] = True
    """False where the pictures are drawn, not read."""
    downloads: ClassVar[bool] = False
    """True where the pictures are fetched when --data-dir is not given."""
    extractor: ClassVar[str] = "inception-v3"
    """The extractor that scores this kind of picture unless the user names another."""

    @abstractmethod
    def open(self, root: Path | None, download_to: Path) -> Pictures:
        """Find the pictures under `root` (`--data-dir`), or fetch them to `download_to` where root is None.

        Raises `DataError` saying which files to put where, when they are missing and cannot be fetched.
        """

    @abstractmethod
    def default_side(self, pictures: Pictures) -> int:
        """Side in pixels that a run uses where none is asked for."""


# Networks ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NetworkShape:
    """What a network must fit: side in pixels, and the number of classes (None: unconditional)."""

    side: int
    classes: int | None = None


class Architecture(Component, ABC):
    """Builds generators and discriminators. An architecture may offer one of the two only.

    A generator maps latents z (N, latent_dim) ~ N(0, I) and y to images, has the attribute `latent_dim`, and a
    discriminator maps images and y to logits: `generator(z, y)`, `discriminator(x, y)`.

    Where a logit depends on the other images of the batch, the module that looks at them sets `batch_statistics = True`
    (torch's own batch norms are recognised), so that real and fake images are never judged together. A forward pass
    changes no parameter and no buffer, other than running statistics in training mode: buffers of torch's own norms, or
    of a module that sets `batch_statistics = True`. What follows a weight is a `WeightConstraint`.
    """

    generator_sides: ClassVar[Sequence[int]] = ()
    """Sides in pixels that the generator can draw; empty where there is no generator."""
    discriminator_sides: ClassVar[Sequence[int]] = ()
    """Sides in pixels that the discriminator can judge; empty where there is no discriminator."""

    def generator(self, shape: NetworkShape, norm: Normalization) -> Module:
        """Build an initialised generator for `shape`, its layers constrained and normalised by `norm`."""
        raise NotImplementedError

    def discriminator(self, shape: NetworkShape, norm: Normalization) -> Module:
        """Build an initialised discriminator for `shape`, its layers constrained and normalised by `norm`."""
        raise NotImplementedError


class Normalization(Component, ABC):
    """How the layers of one network are constrained (their weights) or normalised (their features).

    A forward pass never changes the state of a weight constraint: see `WeightConstraint`. A feature normalisation
    whose output for one image depends on the other images of the batch sets `batch_statistics = True` on its module
    (torch's own batch norms are recognised), so that real and fake images are never normalised together. Where several
    devices share a batch, torch's batch norms see all of it, and anything else its device's share.
    """

    def constrain(self, layer: Module) -> Module:
        """Constrain the weight of an initialised conv, transposed conv, linear or embedding layer; return the layer."""
        return layer

    def features(self, channels: int, classes: int | None) -> Module | None:
        """Build a module (h (N, C, H, W), y) -> (N, C, H, W), or None to leave the architecture's own choice.

        A generator's own choice is batch norm (class-conditional where `classes` is given); a discriminator's is none.
        What the module returns may be overwritten by the activation that follows: it returns no tensor that its
        gradient needs.
        """
        return None


@runtime_checkable
class WeightConstraint(Protocol):
    """A module with state of its own that follows the weight, such as the power iteration's singular vectors.

    The engine calls `advance` once before each update of the network that holds it, and never while that network is
    frozen or scored. On a GPU D's may be at work while G draws, on a stream of their own: they look at nothing but D.
    """

    def advance(self) -> None:
        """Bring the state up to date with the weight, written into the tensors that it is in."""


# Losses --------------------------------------------------------------------------------------------------------------


class Judge(Protocol):
    """D as a penalty calls it: images (N, 3, H, W) to logits (N,), under the labels of N real or generated images."""

    def __call__(self, images: Tensor, of: Literal["real", "fake"] = "real") -> Tensor:
        """Judge images."""


class Loss(Component, ABC):
    """What the two networks minimise, as means over the batch.

    A loss keeps no state: its value depends on its arguments (and torch's random numbers) alone, or a run would not
    resume exactly. A penalty has D judge as many images at a time as there are real ones, since there are labels for
    so many.
    """

    @abstractmethod
    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Loss of D on logits (N,) of real and (M,) of generated images; a scalar."""

    @abstractmethod
    def generator(self, fake_logits: Tensor) -> Tensor:
        """Loss of G on logits (N,) of generated images; a scalar."""

    def penalty(self, discriminator: Judge, real: Tensor, fake: Tensor) -> Tensor | None:
        """Scalar added to D's loss, such as a gradient penalty, or None, on the real and generated images of an update.

        It may ask D again: `discriminator(images)` judges as many images as there are real ones, under their labels,
        and `discriminator(images, of="fake")` under those of the generated ones.
        """
        return None


# Scores --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Features:
    """What an extractor sees in N images: `pooled` (N, D) before its classifier and class `logits` (N, K).

    K is 0 where it tells no classes apart. An extractor leaves `labels` out. A metric is given them (N,) where the run
    is conditional: the classes that real images are of, or that generated ones were asked to be of.
    """

    pooled: Tensor
    logits: Tensor
    labels: Tensor | None = None


class LoadedExtractor(Protocol):
    """An extractor with its weights on a device."""

    weights_sha256: str

    def __call__(self, images: Tensor) -> Features:
        """Extract from uint8 images (N, 3, H, W) of any size. Each call gives new tensors, which callers may keep."""


@runtime_checkable
class OfOneSide(Protocol):
    """A loaded extractor that was trained for one side alone: a score says where images have another."""

    side: int
    """The side in pixels that it brings images to."""


@runtime_checkable
class NamedClasses(Protocol):
    """A loaded extractor that knows the names of the classes that it tells apart."""

    class_names: Sequence[str]
    """One name a logit; none where they are not known."""


class Extractor(Component, ABC):
    """A pretrained network that images are scored with."""

    @abstractmethod
    def load(self, device: str, cache: Path) -> LoadedExtractor:
        """Load the weights on `device`; `cache` is a folder for what must be downloaded.

        Raises `WeightsUnavailableError` saying what to put where when they cannot be had, `NotFoundError` when there is
        no file where an option says, and `ComponentError` when they are there but not what they should be.
        """

    def unusual_options(self) -> dict[str, Any]:
        """The options that differ from their defaults. Paths are left out: where weights lie does not matter."""
        given = self.model_dump(exclude_defaults=True)
        return {key: value for key, value in given.items() if not isinstance(value, Path)}

    def label(self, name: str) -> str:
        """What scores call this extractor beside its weights' hash: they compare where both are the same.

        That is the `name` that it is registered under, and its `unusual_options`.
        """
        given = [f"{key}={_in_label(value)}" for key, value in self.unusual_options().items()]
        return f"{name}[{','.join(given)}]" if given else name


def _in_label(value: object) -> str:
    """An option's value as one word: what separates words and options is written in percent where a text has it."""
    return escaped(value, ",=[]%") if isinstance(value, str) else str(value).replace(" ", "")


class TrainableExtractor(Extractor, ABC):
    """An extractor whose network `sngan extractors train` trains as a classifier of a data set.

    The network's state dict is saved as safetensors, and the options below lead to it. The network must build itself
    from that file and the component's other options alone: keep its side in a buffer.
    """

    trained: str | None = None
    """Name that it was trained under; scores bear it."""
    weights: Path | None = None
    """File of the trained weights."""
    sha256: str | None = None
    """SHA-256 of that file; another file is refused."""

    @abstractmethod
    def network(self, side: int, classes: int) -> Module:
        """Build an untrained network that maps images (N, 3, side, side) to logits (N, classes).

        Raises `UsageError` where it cannot be built for that side.
        """

    def label(self, name: str) -> str:
        """The name that it was trained under."""
        return self.trained or name


class Accumulator(Protocol):
    """A metric in progress: memory does not grow with the number of images beyond the features."""

    def add(self, features: Features) -> None:
        """Take in the next batch of generated images; others are shown the same tensors, which stay as they are."""

    def result(self) -> tuple[float, float | None]:
        """Value and, where the metric has one, standard deviation."""


class Reference(Protocol):
    """Statistics of real images in progress."""

    def add(self, features: Features) -> None:
        """Take in the next batch of real images, whose tensors stay as they are."""

    def result(self) -> Mapping[str, Tensor]:
        """What generated images are compared with."""


class Comparison(Accumulator, Protocol):
    """A metric in progress that compares generated images with real ones."""

    def against(self, reference: Mapping[str, Tensor]) -> None:
        """Take in what `Reference.result` gave, before `result` is asked for."""


@runtime_checkable
class Classwise(Protocol):
    """An accumulator that has a score for each class, too, which is kept as evidence."""

    def per_class(self) -> Sequence[float]:
        """Value of each class by itself, in label order; NaN where it has none."""


@runtime_checkable
class Remarking(Protocol):
    """An accumulator whose score may need a word of warning, which is kept as evidence."""

    def remark(self) -> str | None:
        """What to bear in mind with this value, if anything."""


class Metric(Component, ABC):
    """A score computed from an extractor's features."""

    higher_is_better: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = False
    """True where the metric means nothing without labels: it is refused where a run is unconditional."""
    needs_same_classes: ClassVar[bool] = False
    """True where the extractor must tell apart the very classes that the images are of, in the same order."""

    def reference(self, images: int) -> Reference | None:
        """Start the statistics of exactly `images` real images; raises `UsageError` where they are too few.

        None where the metric looks at generated images alone; else its accumulator is a `Comparison`.
        """
        return None

    @abstractmethod
    def accumulator(self, images: int) -> Accumulator:
        """Start a score over exactly `images` generated images; raises `UsageError` where they are too few."""

    @abstractmethod
    def protocol(self) -> Mapping[str, int | float | str]:
        """The settings of this metric that make two values incomparable where they differ."""
