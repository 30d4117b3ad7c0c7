"""Trains the classifier that ships as the extractor `shapes-cnn`.

    python -m sngan_plugins.extractors.train_shapes_cnn

Pictures are drawn at several sides and brought to 32 pixels, mirrored and slightly blurred or noised, so that the
classifier also has an opinion on the softer pictures of a generator. Writes the weights, in half precision, with the
command, the versions and the accuracy on held-out pictures in their metadata.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from sngan_plugins.datasets.shapes import Shapes
from sngan_plugins.extractors.shapes_cnn import FILE, ShapesClassifier, to_input

SIDES = (16, 24, 32, 48)
HELD_OUT_SEED = 1_000_000


def drawn(images: int, seed: int, side: int) -> tuple[Tensor, Tensor]:
    """Draw uint8 pictures (N, 3, side, side) and labels (N,)."""
    pictures = Shapes(images=images, tilt=180, seed=seed).open(None, Path())
    made = [pictures.read(k, side) for k in range(images)]
    return torch.from_numpy(np.stack([p for p, _ in made])).permute(0, 3, 1, 2), torch.tensor([y for _, y in made])


def augmented(x: Tensor, random: torch.Generator) -> Tensor:
    """Mirror, blur or add noise to images (N, 3, H, W) in [-1, 1]."""
    mirrored = torch.rand(len(x), 1, 1, 1, generator=random) < 0.5
    x = torch.where(mirrored, x.flip(3), x)
    blurred = torch.rand(len(x), 1, 1, 1, generator=random) < 0.3
    x = torch.where(blurred, F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), x)
    noise = torch.rand(len(x), 1, 1, 1, generator=random) * 0.15
    return x + noise * torch.randn(x.shape, generator=random)


def train(epochs: int, images: int, seed: int) -> ShapesClassifier:
    """Train on `images` pictures of each side."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    parts = [drawn(images, seed + k, side) for k, side in enumerate(SIDES)]
    x, y = torch.cat([to_input(p) for p, _ in parts]), torch.cat([labels for _, labels in parts])
    network = ShapesClassifier()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
    batches = len(x) // 128
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * batches)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.02)
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=random)
        for index in order[: batches * 128].view(batches, 128):
            loss = loss_of(network(augmented(x[index], random)), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1} of {epochs}: loss {loss.item():.4f}", file=sys.stderr)
    return network.eval()


@torch.no_grad()
def accuracy(network: ShapesClassifier, images: int, side: int) -> float:
    """Fraction of held-out pictures that are classified rightly."""
    x, y = drawn(images, HELD_OUT_SEED + side, side)
    right: Tensor = network(to_input(x)).argmax(1) == y
    return right.float().mean().item()


def main() -> None:
    """Train, measure, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--images", type=int, default=6000, help="pictures of each size")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name(FILE))
    options = parser.parse_args()
    network = train(options.epochs, options.images, options.seed)
    measured = {f"held-out accuracy at {side} px": f"{accuracy(network, 2000, side):.4f}" for side in SIDES}
    settings = f"--epochs {options.epochs} --images {options.images} --seed {options.seed}"
    metadata = {
        "command": f"python -m sngan_plugins.extractors.train_shapes_cnn {settings}",
        "torch": torch.__version__,
        **measured,
    }
    tensors = {name: t.half() if t.is_floating_point() else t for name, t in network.state_dict().items()}
    save_file(tensors, options.output, metadata)
    print(f"{options.output}: {options.output.stat().st_size} bytes; {measured}")


if __name__ == "__main__":
    main()
