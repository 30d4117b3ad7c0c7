"""Trains a classifier of a labelled data set, for an extractor to score pictures of that kind with."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from sngan_cli.contracts import TrainableExtractor
from sngan_cli.engine.data import derived_seed
from sngan_cli.errors import DivergedError, SnganError

MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
WARM_UP = 0.2
"""Part of the training in which the learning rate rises to its peak; it falls to 0 in the rest."""
_EVALUATED = 500
"""Pictures that are classified at a time."""
_GREY = 128


@dataclass(frozen=True)
class Plan:
    """How a classifier is trained: passes over the data, pictures a step, peak learning rate, what is done to pictures.

    `flip` mirrors half of them, and `cutout` is the side in pixels of a square that is hidden in each (0: none).
    """

    epochs: int
    batch_size: int
    lr: float
    flip: bool
    cutout: int
    seed: int


@dataclass(frozen=True)
class Split:
    """Indices of the pictures to train on and of those held out; `alone` are the classes of a single picture."""

    training: np.ndarray
    held_out: np.ndarray
    alone: tuple[int, ...]


@dataclass(frozen=True)
class Trained:
    """A step of `total` is done, in pass `epoch` (from 1); `accuracy` on held-out pictures comes with a pass's last."""

    step: int
    total: int
    epoch: int
    loss: float
    accuracy: float | None = None


def split(labels: np.ndarray, fraction: float, seed: int) -> Split:
    """Hold out `fraction` of each class, at random by `seed`: of two pictures or more at least one, and never all.

    `labels` (N,) are integers. A class of a single picture is trained on.
    """
    random = np.random.default_rng(derived_seed(seed, "held out"))
    held_out, alone = [], []
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        if len(members) == 1:
            alone.append(int(label))
            continue
        held_out.append(members[: min(max(1, round(fraction * len(members))), len(members) - 1)])
    held = np.sort(np.concatenate(held_out)) if held_out else np.empty(0, np.int64)
    return Split(np.setdiff1d(np.arange(len(labels)), held), held, tuple(alone))


def build(extractor: TrainableExtractor, side: int, classes: int, seed: int, device: torch.device) -> nn.Module:
    """Build an extractor's network, initialised by `seed`, on a device."""
    torch.manual_seed(derived_seed(seed, "initialisation"))
    # Convolutions are fastest where the channels of a pixel lie side by side, on a CPU as well as on a GPU.
    return extractor.network(side, classes).to(device).to(memory_format=torch.channels_last)


def train(
    network: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    parts: Split,
    *,
    plan: Plan,
    bf16: bool,
    observe: Callable[[Trained], None],
) -> float:
    """Train `network` on images (N, side, side, 3) uint8 and labels (N,); returns its accuracy on held-out ones.

    Nesterov's SGD on cross-entropy (its labels not smoothed: the Inception Score of real pictures would hardly rise
    above half the number of classes), one cycle of the learning rate (Smith & Topin, 2017), pictures shifted by
    an eighth of their side, mirrored and in part hidden. The network is left ready for evaluation. The accuracy that
    is returned is measured in float32, those that are observed on the way in the precision of training. Raises
    `DivergedError` where the loss becomes NaN or infinite.
    """
    device = next(network.parameters()).device
    pixels, y = torch.from_numpy(images), torch.from_numpy(labels)
    if device.type == "cuda" and images.nbytes < torch.cuda.mem_get_info(device)[0] // 2:
        pixels = pixels.to(device)
    batch = min(plan.batch_size, len(parts.training))
    per_epoch = len(parts.training) // batch
    total = plan.epochs * per_epoch
    optimizer = torch.optim.SGD(_groups(network), plan.lr, momentum=MOMENTUM, nesterov=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(step, total))
    random = torch.Generator().manual_seed(derived_seed(plan.seed, "training"))
    accuracy = math.nan
    for epoch in range(1, plan.epochs + 1):
        network.train()
        order = torch.from_numpy(parts.training)[torch.randperm(len(parts.training), generator=random)]
        for k, index in enumerate(order[: per_epoch * batch].view(per_epoch, batch), 1):
            seen = augmented(pixels, index, plan.flip, random)
            x = to_unit((cut_out(seen, plan.cutout, random) if plan.cutout else seen).to(device))
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                logits = network(x)
            loss = F.cross_entropy(logits.float(), y[index].to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            value = loss.item()
            if not math.isfinite(value):
                raise DivergedError(
                    f"The classifier diverged in pass {epoch} of {plan.epochs}, with learning rates up to {plan.lr}: "
                    "give a smaller --lr."
                )
            if k == per_epoch:
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16 and epoch < plan.epochs):
                    accuracy = _accuracy(network, pixels, y, parts.held_out, device)
            observe(Trained((epoch - 1) * per_epoch + k, total, epoch, value, accuracy if k == per_epoch else None))
    return accuracy


def chance(labels: np.ndarray, held_out: np.ndarray) -> tuple[float, float]:
    """What naming the most frequent class of the held-out pictures every time scores, and what luck may make of it.

    The latter is two standard deviations more: an accuracy that is not above it may be one of a network that has
    learned nothing (a binomial of `held_out` trials).
    """
    share = float(np.bincount(labels[held_out]).max() / len(held_out))
    return share, share + 2 * math.sqrt(share * (1 - share) / len(held_out))


def one_cycle(step: int, total: int) -> float:
    """Factor of the peak learning rate at a step (from 0): linearly up in the warm-up, linearly to 0 after it."""
    warm = WARM_UP * total
    return (step + 1) / (warm + 1) if step < warm else (total - step) / max(1.0, total - warm)


def augmented(pixels: Tensor, index: Tensor, flip: bool, random: torch.Generator) -> Tensor:
    """Pick pictures `index` (B,) of (N, H, W, 3), shift each by up to an eighth of its side, and mirror half of them.

    What a shift uncovers is filled by reflection. Returns (B, 3, H, W), its channels side by side in memory.
    """
    side, count = pixels.shape[1], len(index)
    most = max(1, side // 8)
    dy, dx = torch.randint(-most, most + 1, (2, count, 1), generator=random)
    rows, columns = _reflected(torch.arange(side) + dy, side), _reflected(torch.arange(side) + dx, side)
    if flip:
        mirrored = torch.rand(count, 1, generator=random) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    places = (index[:, None, None], rows[:, :, None], columns[:, None, :])
    return pixels[tuple(place.to(pixels.device) for place in places)].permute(0, 3, 1, 2)


def cut_out(pictures: Tensor, side: int, random: torch.Generator) -> Tensor:
    """Hide a square of `side` pixels of each picture (B, 3, H, W) by grey (DeVries & Taylor, "Cutout", 2017).

    Its centre is anywhere in the picture: of some squares a part lies outside.
    """
    count, _, height, width = pictures.shape

    def hidden(length: int) -> Tensor:
        """Which of `length` places each square covers, (B, length)."""
        first = torch.randint(0, length, (count, 1), generator=random) - side // 2
        place = torch.arange(length)
        return (first <= place) & (place < first + side)

    square = hidden(height)[:, None, :, None] & hidden(width)[:, None, None, :]
    return pictures.masked_fill(square.to(pictures.device), _GREY)


def to_unit(pixels: Tensor) -> Tensor:
    """Map grey levels to [-1, 1]."""
    return pixels.float() / 127.5 - 1


def write_weights(network: nn.Module, path: Path, class_names: Sequence[str] = ()) -> str:
    """Write the network's weights and its classes' names as a safetensors file; returns the file's SHA-256.

    Where there are some already, their room on the disk is kept. Raises `SnganError` where there is none.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    content = save(tensors, {"class_names": json.dumps(list(class_names))})
    try:
        with path.open("r+b" if path.exists() else "wb") as file:
            file.write(content)
            file.truncate()
    except OSError as error:
        raise SnganError(
            f"The classifier's weights, {len(content) / 2**20:.1f} MiB, cannot be written to {path.parent}: "
            f"{error.strerror or error}. Make room there, or set SNGAN_HOME to a folder that has it."
        ) from error
    return hashlib.sha256(content).hexdigest()


@torch.no_grad()
def _accuracy(network: nn.Module, pixels: Tensor, y: Tensor, index: np.ndarray, device: torch.device) -> float:
    """Part of the pictures `index`, as they are, that the network classifies rightly."""
    network.eval()
    right = 0
    for start in range(0, len(index), _EVALUATED):
        part = torch.from_numpy(index[start : start + _EVALUATED])
        x = to_unit(pixels[part.to(pixels.device)].to(device)).permute(0, 3, 1, 2)
        right += int((network(x).argmax(1).cpu() == y[part]).sum())
    return right / len(index)


def _reflected(places: Tensor, side: int) -> Tensor:
    """Bring places beyond an edge back, the edge itself not repeated."""
    places = places.abs()
    return torch.where(places >= side, 2 * (side - 1) - places, places)


def _groups(network: nn.Module) -> Iterator[dict[str, object]]:
    """Parameters by weight decay: norms and biases have none."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    yield {"params": [p for p in parameters if p.ndim > 1], "weight_decay": WEIGHT_DECAY}
    yield {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}
