"""The networks and the training step as one writes them first in PyTorch: what sngan's are measured against.

Layers, widths, initialisation and arithmetic are those of `standard` and `resnet-preact` at 32 and 48 pixels; spectral
norm is torch's own, real and generated images pass through the discriminator one after the other, and Adam is Adam.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

LATENT = 128


def initialised(layer: nn.Module, gain: float = 1.0) -> nn.Module:
    """Glorot uniform weight, bias 0."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if getattr(layer, "bias", None) is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gamma and beta depend on the class."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gamma, self.beta = nn.Embedding(classes, channels), nn.Embedding(classes, channels)
        nn.init.ones_(self.gamma.weight)
        nn.init.zeros_(self.beta.weight)

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        """Normalise, scale and shift."""
        gamma, beta = self.gamma(y)[:, :, None, None], self.beta(y)[:, :, None, None]
        return gamma * self.norm(h) + beta


class Norm(nn.Module):
    """Batch norm, conditional where there are classes."""

    def __init__(self, channels: int, classes: int | None):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels) if classes is None else ConditionalBatchNorm(channels, classes)

    def forward(self, h: Tensor, y: Tensor | None) -> Tensor:
        """Normalise."""
        return self.norm(h) if y is None else self.norm(h, y)


class StandardGenerator(nn.Module):
    """Linear, three transposed convolutions, one convolution."""

    def __init__(self, side: int, classes: int | None):
        super().__init__()
        self.side = side // 8
        self.linear = initialised(nn.Linear(LATENT, 512 * self.side**2))
        widths = list(pairwise((512, 256, 128, 64)))
        self.deconvs = nn.ModuleList(initialised(nn.ConvTranspose2d(i, o, 4, 2, 1)) for i, o in widths)
        self.norms = nn.ModuleList(Norm(o, classes) for _, o in widths)
        self.to_rgb = initialised(nn.Conv2d(64, 3, 3, padding=1))

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Draw."""
        h = self.linear(z).view(len(z), 512, self.side, self.side)
        for deconv, norm in zip(self.deconvs, self.norms, strict=True):
            h = F.relu(norm(deconv(h), y))
        return torch.tanh(self.to_rgb(h))


class Head(nn.Module):
    """Linear layer and, where there are classes, the projection."""

    def __init__(self, features: int, classes: int | None):
        super().__init__()
        self.linear = spectral_norm(initialised(nn.Linear(features, 1)))
        self.embed = None if classes is None else spectral_norm(initialised(nn.Embedding(classes, features)))

    def forward(self, phi: Tensor, y: Tensor | None) -> Tensor:
        """Logits (N,)."""
        logits = self.linear(phi).squeeze(1)
        return logits if self.embed is None else logits + (self.embed(y) * phi).sum(1)


class StandardDiscriminator(nn.Module):
    """Seven convolutions and a linear layer."""

    def __init__(self, side: int, classes: int | None):
        super().__init__()
        layers = [
            (3, 64, 3, 1), (64, 64, 4, 2), (64, 128, 3, 1), (128, 128, 4, 2), (128, 256, 3, 1), (256, 256, 4, 2),
            (256, 512, 3, 1),
        ]  # fmt: skip
        self.convs = nn.ModuleList(spectral_norm(initialised(nn.Conv2d(*layer, padding=1))) for layer in layers)
        self.head = Head(512 * (side // 8) ** 2, classes)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Judge."""
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.1)
        return self.head(x.flatten(1), y)


class GeneratorBlock(nn.Module):
    """Norm, ReLU, up, conv, norm, ReLU, conv, plus a shortcut."""

    def __init__(self, i: int, o: int, classes: int | None):
        super().__init__()
        self.norm1 = Norm(i, classes)
        self.conv1 = initialised(nn.Conv2d(i, o, 3, padding=1), 2**0.5)
        self.norm2 = Norm(o, classes)
        self.conv2 = initialised(nn.Conv2d(o, o, 3, padding=1), 2**0.5)
        self.shortcut = initialised(nn.Conv2d(i, o, 1))

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Add the residual to the shortcut."""
        h = self.conv1(F.interpolate(F.relu(self.norm1(x, y)), scale_factor=2))
        h = self.conv2(F.relu(self.norm2(h, y)))
        return h + self.shortcut(F.interpolate(x, scale_factor=2))


class ResnetGenerator(nn.Module):
    """Linear and three blocks."""

    def __init__(self, side: int, classes: int | None):
        super().__init__()
        self.side = side // 8
        self.widths = {32: (256, 256, 256, 256), 48: (512, 256, 128, 64)}[side]
        self.linear = initialised(nn.Linear(LATENT, self.widths[0] * self.side**2))
        self.blocks = nn.ModuleList(GeneratorBlock(i, o, classes) for i, o in pairwise(self.widths))
        self.norm = Norm(self.widths[-1], classes)
        self.to_rgb = initialised(nn.Conv2d(self.widths[-1], 3, 3, padding=1))

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Draw."""
        h = self.linear(z).view(len(z), self.widths[0], self.side, self.side)
        for block in self.blocks:
            h = block(h, y)
        return torch.tanh(self.to_rgb(F.relu(self.norm(h, y))))


class DiscriminatorBlock(nn.Module):
    """ReLU, conv, ReLU, conv, pool, plus a shortcut."""

    def __init__(self, i: int, o: int, *, down: bool, first: bool):
        super().__init__()
        self.down, self.first = down, first
        self.conv1 = spectral_norm(initialised(nn.Conv2d(i, o, 3, padding=1), 2**0.5))
        self.conv2 = spectral_norm(initialised(nn.Conv2d(o, o, 3, padding=1), 2**0.5))
        self.shortcut = spectral_norm(initialised(nn.Conv2d(i, o, 1))) if down or i != o else None

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual to the shortcut."""
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return F.avg_pool2d(h, 2) + F.avg_pool2d(shortcut, 2) if self.down else h + shortcut


class ResnetDiscriminator(nn.Module):
    """Four or five blocks, sum pooling, a linear layer."""

    def __init__(self, side: int, classes: int | None):
        super().__init__()
        widths, downs = {
            32: ((3, 128, 128, 128, 128), (True, True, False, False)),
            48: ((3, 64, 128, 256, 512, 1024), (True, True, True, True, False)),
        }[side]
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(i, o, down=down, first=i == 3)
            for (i, o), down in zip(pairwise(widths), downs, strict=True)
        )
        self.head = Head(widths[-1], classes)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Judge."""
        for block in self.blocks:
            x = block(x)
        return self.head(F.relu(x).sum((2, 3)), y)


NETWORKS = {
    "standard": (StandardGenerator, StandardDiscriminator),
    "resnet-preact": (ResnetGenerator, ResnetDiscriminator),
}


class Plain:
    """A GAN and its step, with hinge loss and the paper's Adam."""

    def __init__(self, arch: str, side: int, classes: int | None, device: torch.device, *, bf16: bool = False):
        generator, discriminator = NETWORKS[arch]
        self.generator = generator(side, classes).to(device)
        self.discriminator = discriminator(side, classes).to(device)
        self.classes, self.device, self.bf16 = classes, device, bf16
        self.optimizer_g = torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=(0.0, 0.9))
        self.optimizer_d = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.0, 0.9))

    def latents(self, images: int) -> tuple[Tensor, Tensor | None]:
        """Latents and labels."""
        z = torch.randn(images, LATENT, device=self.device)
        return z, None if self.classes is None else torch.randint(self.classes, (images,), device=self.device)

    def iteration(self, batches: list[tuple[Tensor, Tensor]], g_batch: int) -> tuple[Tensor, Tensor]:
        """One discriminator update on each real batch, then one generator update; returns both losses."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            return self._iteration(batches, g_batch)

    def _iteration(self, batches: list[tuple[Tensor, Tensor]], g_batch: int) -> tuple[Tensor, Tensor]:
        for x, y in batches:
            real_y = None if self.classes is None else y
            z, fake_y = self.latents(len(x))
            with torch.no_grad():
                fake = self.generator(z, fake_y)
            real_logits = self.discriminator(x, real_y)
            fake_logits = self.discriminator(fake, fake_y)
            loss_d = F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()
            self.optimizer_d.zero_grad()
            loss_d.backward()
            self.optimizer_d.step()
        z, y = self.latents(g_batch)
        loss_g = -self.discriminator(self.generator(z, y), y).mean()
        self.optimizer_g.zero_grad()
        loss_g.backward()
        self.optimizer_g.step()
        return loss_d.detach(), loss_g.detach()
