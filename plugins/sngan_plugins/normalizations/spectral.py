"""Spectral normalisation of weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import ParametrizationList, register_parametrization

from sngan_cli.contracts import Field, Normalization
from sngan_plugins.layers import output_dim

_WARM_UP = 15
"""Power iterations at construction, so that the very first sigma is near the true one."""


class Spectral(Normalization, contract=1):
    """Spectral normalisation: W / sigma(W), with sigma(W) by power iteration (Miyato et al., 2018, algorithm 1)."""

    power_iterations: int = Field(default=1, ge=1)
    """Power iterations an update of the network."""

    def constrain(self, layer: nn.Module) -> nn.Module:
        """Divide the layer's weight by an estimate of its largest singular value."""
        norm = SpectralNorm(layer.get_parameter("weight"), output_dim(layer), self.power_iterations)
        register_parametrization(layer, "weight", norm)
        weight = layer.get_submodule("parametrizations.weight")
        assert isinstance(weight, ParametrizationList)
        norm.follow(weight)
        return layer


class SpectralNorm(nn.Module):
    """Parametrization W -> W / sigma with sigma = u^T W v; u and v are constants in the gradient (eq. 12).

    W is taken as a matrix (outputs, everything else); u and v estimate its first left and right singular vectors.
    `forward` never changes them: `advance` does, by the weight that it was told to `follow`.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, out_dim: int, power_iterations: int):
        super().__init__()
        self._out_dim, self._power_iterations = out_dim, power_iterations
        self._followed: tuple[ParametrizationList, ...] = ()
        matrix = self._matrix(weight.detach())
        u = F.normalize(torch.randn(matrix.shape[0], dtype=matrix.dtype, device=matrix.device), dim=0)
        self.register_buffer("u", u)
        self.register_buffer("v", F.normalize(matrix.T @ u, dim=0))
        self._iterate(matrix, _WARM_UP)

    def follow(self, weight: ParametrizationList) -> None:
        """Say whose original weight `advance` looks at.

        It is kept in a tuple, which hides it from torch's list of submodules (it holds this module already) and still
        lets `deepcopy` point the copy of a layer at its own weight.
        """
        self._followed = (weight,)

    @torch.no_grad()
    def advance(self) -> None:
        """Bring u and v up to date with the weight."""
        (weight,) = self._followed
        self._iterate(self._matrix(weight.original), self._power_iterations)

    def forward(self, weight: Tensor) -> Tensor:
        """Divide a weight by its spectral norm; float32 also under autocast."""
        with torch.autocast(weight.device.type, enabled=False):
            # Clones: `advance` changes u and v in place, possibly before this graph has run backward.
            u, v = self.u.clone(), self.v.clone()
            return weight / torch.dot(u, torch.mv(self._matrix(weight), v))

    def _iterate(self, matrix: Tensor, times: int) -> None:
        for _ in range(times):
            self.v.copy_(F.normalize(torch.mv(matrix.T, self.u), dim=0))
            self.u.copy_(F.normalize(torch.mv(matrix, self.v), dim=0))

    def _matrix(self, weight: Tensor) -> Tensor:
        """The weight as a matrix; the columns are in channels-last order, so that it is a view of such a weight."""
        weight = weight.movedim(1, -1)
        return weight.flatten(1) if self._out_dim == 0 else weight.flatten(0, -2).T
