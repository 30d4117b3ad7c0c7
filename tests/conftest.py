"""What all tests share: few threads, a home of their own, no GPU, no network, and random weights for published ones."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import torch

    from sngan_cli.contracts import Extractor
    from sngan_plugins.extractors.published import PublishedWeights


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh $SNGAN_HOME for each test; no settings of the machine's user leak in."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("SNGAN_HOME", str(folder))
    weights = (f"SNGAN_{name}_WEIGHTS" for name in ("INCEPTION", "TORCHVISION_INCEPTION", "DINOV2"))
    for name in ("SNGAN_REGISTRY", "SNGAN_DEBUG", *weights):
        monkeypatch.setenv(name, "")  # so that one that the program sets is taken away again at the test's end
        monkeypatch.delenv(name)
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    return folder


@pytest.fixture(autouse=True)
def _one_thread(request: pytest.FixtureRequest) -> None:
    """Tiny networks are fastest on one thread, and two cores are few."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` is the CPU, and so everything is the same everywhere; a GPU is for the tests of one."""
    if not request.node.get_closest_marker("gpu"):
        import torch

        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anything but this machine fails at once, as it would without a network."""
    if request.node.get_closest_marker("network"):
        return
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: object) -> None:
        if self.family == socket.AF_UNIX or (isinstance(address, tuple) and address[0] in ("127.0.0.1", "::1")):
            return connect(self, address)  # type: ignore[arg-type]
        raise OSError(f"tests have no network: {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", _no_lookup)


def _no_lookup(host: object, *_: object, **__: object) -> list[object]:
    raise socket.gaierror(f"tests have no network: {host}")


@dataclass(frozen=True)
class StandIn:
    """An extractor, and seeded random weights in place of those that are published for it."""

    make: Callable[..., Extractor]
    """Makes the extractor with these options."""
    published: PublishedWeights
    """What the extractor takes for the published weights: the checksum is that of `path`."""
    path: Path
    """A file of them that nothing looks for."""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., StandIn]:
    """Stand in for the published weights of an extractor: `stand_in(name)`, or `stand_in(name, tensors)`.

    The small DINOv2 takes the place of the large one.
    """

    def made(name: str, tensors: Mapping[str, torch.Tensor] | None = None) -> StandIn:
        import torch

        from sngan_plugins.extractors import dinov2, inception_v3, torchvision_inception

        path = tmp_path / f"{name}.pth"
        torch.save(dict(tensors or random_weights(name)), path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        if name == "dinov2":
            small = dinov2.SIZES["small"]
            published = replace(small.weights, sha256=sha256)
            monkeypatch.setitem(dinov2.SIZES, "large", small._replace(weights=published))
            return StandIn(dinov2.DinoV2, published, path)
        made: dict[str, tuple[Any, type[Extractor]]] = {
            "inception-v3": (inception_v3, inception_v3.InceptionV3),
            "torchvision-inception": (torchvision_inception, torchvision_inception.TorchvisionInception),
        }
        module, extractor = made[name]
        published = replace(module.WEIGHTS, sha256=sha256)
        monkeypatch.setattr(module, "WEIGHTS", published)
        return StandIn(extractor, published, path)

    return made


@pytest.fixture
def random_weights_of() -> Callable[[str], dict[str, torch.Tensor]]:
    """Seeded random weights of an extractor's network, by name."""
    return random_weights


@cache
def random_weights(name: str) -> dict[str, torch.Tensor]:
    """Tensors of the published names and shapes, so spread that signals neither vanish nor explode."""
    import torch

    shapes = {"inception-v3": inception_shapes, "torchvision-inception": torchvision_shapes, "dinov2": dinov2_shapes}
    random = torch.Generator().manual_seed(0)
    found = {}
    for key, shape in shapes[name]().items():
        noise = torch.randn(shape, generator=random)
        if key.endswith("num_batches_tracked"):
            found[key] = torch.tensor(0)
        elif key.endswith(("running_var", "gamma")) or (len(shape) == 1 and key.endswith("weight")):
            found[key] = (0.2 * noise).exp()
        elif len(shape) == 1 or ("embed" in key and "proj" not in key) or key.endswith("token"):
            found[key] = 0.2 * noise
        else:
            found[key] = noise * (2 / noise[0].numel()) ** 0.5
    return found


def inception_shapes() -> dict[str, torch.Size]:
    """Those of torch-fidelity's network: torchvision's, with 1008 classes."""
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def torchvision_shapes() -> dict[str, torch.Size]:
    """Those of torchvision's network with its auxiliary classifier, as they are published."""
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, aux_logits=True, init_weights=False)
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def dinov2_shapes() -> dict[str, torch.Size]:
    """Those of DINOv2's ViT-S/14 for 518 pixels."""
    import torch

    width = 384
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width), "pos_embed": (1, 1 + 37**2, width), "mask_token": (1, width),
        "patch_embed.proj.weight": (width, 3, 14, 14), "patch_embed.proj.bias": (width,),
        "norm.weight": (width,), "norm.bias": (width,),
    }  # fmt: skip
    linear = {"attn.qkv": (3 * width, width), "attn.proj": (width, width), "mlp.fc1": (4 * width, width),
              "mlp.fc2": (width, 4 * width)}  # fmt: skip
    for k in range(12):
        for name, shape in linear.items():
            shapes[f"blocks.{k}.{name}.weight"], shapes[f"blocks.{k}.{name}.bias"] = shape, shape[:1]
        for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "ls1.gamma", "ls2.gamma"):
            shapes[f"blocks.{k}.{name}"] = (width,)
    return {name: torch.Size(shape) for name, shape in shapes.items()}
