"""What a normalisation promises: layers that keep their shapes and learn, and that no forward pass changes."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sngan_cli.conformance.absent_gpu import GPU, absent_gpu, put
from sngan_cli.conformance.passes import depends_on_the_batch, pass_in_bf16, perturb, seeded
from sngan_cli.conformance.promises import Bench, BrokenPromiseError, Promise, about, expect, expect_equal
from sngan_cli.contracts import Normalization
from sngan_cli.engine.gan import uses_batch_statistics
from sngan_cli.engine.step import advance

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
        first = seeded(layer.train(mode), kind.x)
        expect(torch.equal(seeded(layer, kind.x), first), "the next pass gives something else")
    expect_equal(layer.state_dict(), before)


def advances_its_state_alone(norm: Normalization, kind: Kind) -> None:
    """Raise where advancing a weight constraint changes a parameter."""
    layer = norm.constrain(kind.build())
    before = deepcopy(dict(layer.named_parameters()))
    advance(layer)
    expect_equal(dict(layer.named_parameters()), before)


def advances_in_place(norm: Normalization, kind: Kind) -> None:
    """Raise where advancing puts another tensor in a buffer's place: a CUDA graph would go on with the first one."""
    layer = norm.constrain(kind.build())
    before = dict(layer.named_buffers())
    advance(layer)
    moved = [name for name, buffer in layer.named_buffers() if buffer.data_ptr() != before[name].data_ptr()]
    expect(not moved, f"{', '.join(moved)} is another tensor than before: write into the one that is there, by copy_")


def is_copied_whole(norm: Normalization, kind: Kind) -> None:
    """Raise where a copy of a layer gives something else, or shares its state: G's average is such a copy."""
    layer = norm.constrain(kind.build())
    before, copy = deepcopy(layer.state_dict()), deepcopy(layer)
    expect(torch.equal(seeded(copy, kind.x), seeded(layer, kind.x)), "a copy gives something else")
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.normal_()
    advance(copy)
    expect_equal(layer.state_dict(), before)
    expect(not torch.equal(seeded(copy, kind.x), seeded(layer, kind.x)), "a copy with other weights gives the same")


def is_restored_whole(norm: Normalization, kind: Kind) -> None:
    """Raise where a layer does not go on as before from its state dict: a run would not resume exactly."""
    layer, other = norm.constrain(kind.build()), norm.constrain(kind.build())
    for _ in range(3):  # a state of its own may be the same in all new layers
        perturb(layer)
        advance(layer)
    other.load_state_dict(layer.state_dict())
    for each in (layer, other):
        advance(each)
    expect(
        torch.equal(seeded(other, kind.x), seeded(layer, kind.x)),
        "restored from its state dict, it gives something else: keep what advances in buffers",
    )


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
        torch.testing.assert_close(seeded(module, h, None), seeded(module, h, y))


def says_where_it_depends_on_the_batch(module: nn.Module) -> None:
    """Raise where real images would be normalised with generated ones, or kept apart for nothing."""
    mixes, declared = depends_on_the_batch(module, *_features()), uses_batch_statistics(module)
    expect(declared or not mixes, "its output depends on the batch: set batch_statistics = True on the module")
    expect(mixes or not declared, "batch_statistics is set, and its output does not depend on the batch")


def may_be_overwritten(module: nn.Module) -> None:
    """Raise where an activation in place takes away what the gradient needs."""
    h, y = _features()
    out = module(1 * h.requires_grad_(), y)
    try:
        out.relu_().sum().backward()
    except RuntimeError as error:
        if "inplace" not in str(error):
            raise
        raise BrokenPromiseError(
            "its gradient needs the tensor that it returns, and an activation in place may overwrite that: return "
            "another one, such as a clone"
        ) from error


def evaluation_changes_nothing(module: nn.Module) -> None:
    """Raise where normalising features changes a state in evaluation mode."""
    h, y = _features()
    module(h, y)
    before = deepcopy(module.state_dict())
    module.eval()(h + 1, y)
    expect_equal(module.state_dict(), before)


def layers_run_in_bf16(norm: Normalization, kind: Kind) -> None:
    """Raise where autocast to bfloat16 breaks a constrained layer, or gradients are not in float32."""
    pass_in_bf16(norm.constrain(kind.build()), kind.x)


def features_run_in_bf16(module: nn.Module) -> None:
    """Raise where features in bfloat16 cannot be normalised, or gradients are not in float32."""
    h, y = _features()
    pass_in_bf16(module, h.bfloat16().requires_grad_(), y)


def layers_stay_on_a_gpu(norm: Normalization, kind: Kind) -> None:
    """Raise where a constrained layer on a GPU needs a tensor elsewhere, advancing included."""
    layer = norm.constrain(kind.build())
    with absent_gpu():
        put(layer)
        advance(layer)
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


PROMISES = (
    Promise("constrained layers keep their shapes", _of_each_layer(keeps_the_shapes_of_layers)),
    Promise("every parameter of a constrained layer learns", _of_each_layer(lets_layers_learn)),
    Promise("a forward pass changes no layer's state", _of_each_layer(forward_changes_nothing)),
    Promise("advancing a constraint changes no parameter", _of_each_layer(advances_its_state_alone)),
    Promise("advancing writes into the tensors that are there", _of_each_layer(advances_in_place)),
    Promise("a copy of a layer is equal and apart", _of_each_layer(is_copied_whole)),
    Promise("a layer is restored from its state dict", _of_each_layer(is_restored_whole)),
    Promise("normalised features keep their shape", _of_all_features(keeps_the_shape_of_features)),
    Promise("features of unlabelled images need no labels", needs_no_labels_of_unlabelled),
    Promise("it says where features depend on the batch", _of_all_features(says_where_it_depends_on_the_batch)),
    Promise("normalised features may be overwritten", _of_all_features(may_be_overwritten)),
    Promise("in bfloat16 a constrained layer has gradients in float32", _of_each_layer(layers_run_in_bf16)),
    Promise("in bfloat16 normalised features have gradients in float32", _of_all_features(features_run_in_bf16)),
    Promise("on a GPU, all of a layer is there", _of_each_layer(layers_stay_on_a_gpu)),
    Promise("on a GPU, all that normalises features is there", _of_all_features(features_stay_on_a_gpu)),
    Promise("in evaluation no state changes", _of_all_features(evaluation_changes_nothing)),
)
