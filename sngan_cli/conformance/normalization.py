"""What a normalisation promises: layers that keep their shapes and learn, and that no forward pass changes."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sngan_cli.conformance.absent_gpu import GPU, absent_gpu, put
from sngan_cli.conformance.promises import Bench, Promise, about, expect, expect_equal
from sngan_cli.contracts import Normalization, WeightConstraint

CHANNELS, CLASSES = 4, 3


@dataclass(frozen=True)
class Kind:
    """A kind of layer that is constrained, and an input of its."""

    name: str
    build: Callable[[], nn.Module]
    x: Tensor


_KINDS = (
    Kind("a convolution", lambda: nn.Conv2d(3, 5, 3), torch.ones(2, 3, 4, 4)),
    Kind("a transposed convolution", lambda: nn.ConvTranspose2d(3, 5, 4, 2), torch.ones(2, 3, 4, 4)),
    Kind("a linear layer", lambda: nn.Linear(4, 7), torch.ones(2, 4)),
    Kind("an embedding", lambda: nn.Embedding(4, 7), torch.tensor([3, 0])),
)


def keeps_the_shapes_of_layers(norm: Normalization, kind: Kind) -> None:
    """Raise where a constrained layer has another weight's shape, or gives another shape."""
    layer = norm.constrain(kind.build())
    plain = kind.build()
    found, expected = (tuple(getattr(each.weight, "shape", ())) for each in (layer, plain))
    expect(found == expected, f"its weight {expected} has become {found}")
    output = layer(kind.x)
    expect(output.shape == plain(kind.x).shape, f"it gives {tuple(output.shape)}, not {tuple(plain(kind.x).shape)}")
    expect(output.isfinite().all(), "what it gives is not finite")


def lets_layers_learn(norm: Normalization, kind: Kind) -> None:
    """Raise where a parameter of a constrained layer has no gradient."""
    layer = norm.constrain(kind.build())
    output = layer(kind.x)
    (output * torch.linspace(1, 2, output.numel()).view_as(output)).sum().backward()  # what normalising keeps has none
    for name, parameter in layer.named_parameters():
        gradient = parameter.grad
        expect(gradient is not None and gradient.isfinite().all() and gradient.any(), f"{name} does not learn")


def forward_changes_nothing(norm: Normalization, kind: Kind) -> None:
    """Raise where a forward pass of a constrained layer changes its state, or the next pass."""
    layer = norm.constrain(kind.build())
    before = deepcopy(layer.state_dict())
    for mode in (True, False):
        first = layer.train(mode)(kind.x)
        expect(torch.equal(layer(kind.x), first), "the next pass gives something else")
    expect_equal(layer.state_dict(), before)


def advances_its_state_alone(norm: Normalization, kind: Kind) -> None:
    """Raise where advancing a weight constraint changes a parameter."""
    layer = norm.constrain(kind.build())
    before = deepcopy(dict(layer.named_parameters()))
    _advance(layer)
    expect_equal(dict(layer.named_parameters()), before)


def is_copied_whole(norm: Normalization, kind: Kind) -> None:
    """Raise where a copy of a layer gives something else, or shares its state: G's average is such a copy."""
    layer = norm.constrain(kind.build())
    before, copy = deepcopy(layer.state_dict()), deepcopy(layer)
    expect(torch.equal(copy(kind.x), layer(kind.x)), "a copy gives something else")
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.normal_()
    _advance(copy)
    expect_equal(layer.state_dict(), before)
    expect(not torch.equal(copy(kind.x), layer(kind.x)), "a copy with other weights gives the same")


def is_restored_whole(norm: Normalization, kind: Kind) -> None:
    """Raise where a layer does not go on as before from its state dict: a run would not resume exactly."""
    layer = norm.constrain(kind.build())
    other = norm.constrain(kind.build())
    other.load_state_dict(layer.state_dict())
    for each in (layer, other):
        _advance(each)
    expect(torch.equal(other(kind.x), layer(kind.x)), "restored from its state dict, it gives something else")


def keeps_the_shape_of_features(module: nn.Module) -> None:
    """Raise where normalised features have another shape, or pass no gradient on."""
    h, y = _features()
    out = module(h.requires_grad_(), y)
    expect(out.shape == h.shape, f"features {tuple(h.shape)} become {tuple(out.shape)}")
    out.square().sum().backward()
    expect(h.grad is not None and h.grad.isfinite().all(), "no gradient passes")
    idle = [name for name, parameter in module.named_parameters() if parameter.grad is None]
    expect(not idle, f"{', '.join(idle)} does not learn")


def needs_no_labels_of_unlabelled(norm: Normalization, bench: Bench) -> None:
    """Raise where what was built for no classes looks at labels."""
    module = norm.features(CHANNELS, None)
    if module is not None:
        h, y = _features()
        torch.testing.assert_close(module(h, None), module(h, y))


def declares_batch_statistics(module: nn.Module) -> None:
    """Raise where real images would be normalised with generated ones, or kept apart for nothing."""
    h, y = _features()
    mixes = not torch.allclose(module(h, y)[:3], module(h[:3], y[:3]), atol=1e-5)
    declared = any(isinstance(m, _BatchNorm) or getattr(m, "batch_statistics", False) for m in module.modules())
    expect(declared or not mixes, "its output depends on the batch: set batch_statistics = True on the module")
    expect(mixes or not declared, "batch_statistics is set, and its output does not depend on the batch")


def evaluation_changes_nothing(module: nn.Module) -> None:
    """Raise where normalising features changes a state in evaluation mode."""
    h, y = _features()
    module(h, y)
    before = deepcopy(module.state_dict())
    module.eval()(h + 1, y)
    expect_equal(module.state_dict(), before)


def layers_stay_on_a_gpu(norm: Normalization, kind: Kind) -> None:
    """Raise where a constrained layer on a GPU needs a tensor elsewhere, advancing included."""
    layer = norm.constrain(kind.build())
    with absent_gpu():
        put(layer)
        _advance(layer)
        layer(torch.zeros_like(kind.x, device=GPU))


def features_stay_on_a_gpu(module: nn.Module) -> None:
    """Raise where normalising features on a GPU needs a tensor elsewhere."""
    with absent_gpu():
        put(module)
        module(*(torch.zeros_like(each, device=GPU) for each in _features()))


def _of_each_layer(try_: Callable[[Normalization, Kind], None]) -> Callable[[Normalization, Bench], None]:
    def every(norm: Normalization, bench: Bench) -> None:
        for kind in _KINDS:
            with about(kind.name):
                try_(norm, kind)

    return every


def _of_all_features(try_: Callable[[nn.Module], None]) -> Callable[[Normalization, Bench], None]:
    def every(norm: Normalization, bench: Bench) -> None:
        for classes in (None, CLASSES):
            with about("features of unlabelled images" if classes is None else f"features of {classes} classes"):
                module = norm.features(CHANNELS, classes)
                if module is not None:
                    try_(module)

    return every


def _features() -> tuple[Tensor, Tensor]:
    """Features and labels of six images."""
    random = torch.Generator().manual_seed(0)
    return torch.randn(6, CHANNELS, 5, 5, generator=random), torch.arange(6) % CLASSES


def _advance(layer: nn.Module) -> None:
    for module in layer.modules():
        if isinstance(module, WeightConstraint):
            module.advance()


PROMISES = (
    Promise("constrained layers keep their shapes", _of_each_layer(keeps_the_shapes_of_layers)),
    Promise("every parameter of a constrained layer learns", _of_each_layer(lets_layers_learn)),
    Promise("a forward pass changes no layer's state", _of_each_layer(forward_changes_nothing)),
    Promise("advancing a constraint changes no parameter", _of_each_layer(advances_its_state_alone)),
    Promise("a copy of a layer is equal and apart", _of_each_layer(is_copied_whole)),
    Promise("a layer is restored from its state dict", _of_each_layer(is_restored_whole)),
    Promise("normalised features keep their shape", _of_all_features(keeps_the_shape_of_features)),
    Promise("features of unlabelled images need no labels", needs_no_labels_of_unlabelled),
    Promise("it says where features depend on the batch", _of_all_features(declares_batch_statistics)),
    Promise("on a GPU, all of a layer is there", _of_each_layer(layers_stay_on_a_gpu)),
    Promise("on a GPU, all that normalises features is there", _of_all_features(features_stay_on_a_gpu)),
    Promise("in evaluation no state changes", _of_all_features(evaluation_changes_nothing)),
)
