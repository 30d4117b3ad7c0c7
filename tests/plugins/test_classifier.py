"""The classifier that is trained on a data set of one's own: its network, and the weights that it accepts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn

from sngan_cli.contracts import ComponentError, UsageError
from sngan_cli.engine.classifier import write_weights
from sngan_plugins.extractors.classifier import Classifier, LoadedClassifier, ResidualClassifier


@pytest.fixture
def trained(tmp_path: Path) -> Classifier:
    """A classifier of three classes at 8 pixels, with the weights of an untrained network."""
    path = tmp_path / "weights.safetensors"
    torch.manual_seed(0)
    digest = write_weights(ResidualClassifier(8, 3, 4, 1, mirror=False), path)
    return Classifier(width=4, trained="mine", weights=path, sha256=digest)


def test_it_has_seven_convolutions_and_the_weights_of_its_widths() -> None:
    network = Classifier(width=8).network(32, 10)
    convolutions = [layer.weight.shape[:2] for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert convolutions == [(4, 3), (8, 4), (8, 8), (32, 8), (32, 32), (32, 32), (32, 32)]
    weights = 9 * (4 * 3 + 8 * 4 + 8 * 8 + 32 * 8 + 3 * 32 * 32)
    assert sum(p.numel() for p in network.parameters()) == weights + 2 * (4 + 2 * 8 + 4 * 32) + 32 * 10 + 10


def test_deeper_branches_have_more_convolutions_at_the_halved_side() -> None:
    network = Classifier(width=8, depth=3).network(32, 10)
    shapes = [[layer.weight.shape[:2] for layer in stage.residual if isinstance(layer, nn.Conv2d)]
              for stage in network.stages]  # fmt: skip
    assert shapes == [[(8, 8)] * 3, [(32, 32)] * 3, [(32, 32)] * 3]
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_a_stage_adds_its_branch_to_what_it_has_pooled_and_then_normed() -> None:
    (stage,) = Classifier(width=8).network(32, 10).stages[:1]
    x = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    halved = stage.halve(x)
    torch.testing.assert_close(stage(x), halved + stage.residual(halved))
    *_, norm, _ = stage.residual
    nn.init.zeros_(norm.weight)
    torch.testing.assert_close(stage(x), halved)
    *before, _ = stage.halve
    normed = nn.Sequential(*before)(x)
    assert normed.shape == (4, 8, 4, 4)
    torch.testing.assert_close(normed.mean((0, 2, 3)), torch.zeros(8), rtol=0, atol=1e-5)
    torch.testing.assert_close(normed.std((0, 2, 3), correction=0), torch.ones(8), rtol=0, atol=1e-2)


@pytest.mark.parametrize(("side", "left"), [(8, 1), (32, 4), (33, 4), (48, 6), (64, 4), (96, 6), (128, 4)])
def test_large_pictures_are_halved_more_often(side: int, left: int) -> None:
    network = ResidualClassifier(side, 2, 4, 1, mirror=False).eval()
    assert network.stages(network.shrink(network.stem(torch.zeros(1, 3, side, side)))).shape == (1, 16, left, left)


def test_too_small_pictures_are_refused() -> None:
    with pytest.raises(UsageError, match="needs pictures of 8 pixels at least, not 7: give --size"):
        Classifier().network(7, 2)


def test_classes_are_called_as_they_were_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    digest = write_weights(ResidualClassifier(8, 3, 4, 1, mirror=False), path, ["zebra", "ant", "Mole"])
    found = Classifier(width=4, weights=path, sha256=digest).load("cpu", tmp_path)
    assert found.class_names == ["zebra", "ant", "Mole"]


def test_features_are_what_the_linear_layer_sees_and_pictures_are_resized(trained: Classifier, tmp_path: Path) -> None:
    found = trained.load("cpu", tmp_path)
    features = found(torch.randint(0, 256, (2, 3, 20, 20), dtype=torch.uint8))
    assert features.pooled.shape == (2, 16)
    assert features.logits.shape == (2, 3)
    plain = torch.full((1, 3, 8, 8), 77, dtype=torch.uint8)
    large = torch.full((1, 3, 40, 40), 77, dtype=torch.uint8)
    torch.testing.assert_close(found(plain).logits, found(large).logits)


def test_large_pictures_are_made_smaller_without_losing_what_lies_between_the_samples() -> None:
    """Of each four columns the two in the middle are white: samples a quarter as close would hit these alone."""
    network = ResidualClassifier(8, 3, 4, 1, mirror=False).eval()
    seen: list[torch.Tensor] = []
    network.stem.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    white = torch.tensor([0, 255, 255, 0], dtype=torch.uint8).repeat(8).expand(1, 3, 32, 32)
    LoadedClassifier(network, "", ())(white)
    (x,) = seen
    assert x.shape == (1, 3, 8, 8)
    torch.testing.assert_close(x[..., 1:-1], torch.zeros(1, 3, 8, 6))  # half white, half black


def test_the_path_of_the_weights_may_begin_at_ones_home(
    trained: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = trained.model_copy(update={"weights": Path("~/weights.safetensors")}).load("cpu", tmp_path)
    assert found.weights_sha256 == trained.sha256


def test_with_mirror_an_image_and_its_mirror_image_have_the_same_features_the_mean_of_both(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Classifier(width=4, mirror=True).network(8, 3)
    plain = Classifier(width=4).network(8, 3)
    plain.load_state_dict({name: value for name, value in network.state_dict().items() if name != "mirrored"})
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(network.train()(x), plain.train()(x)), "in training mirror images have their own turns"
    network.eval()
    plain.eval()
    torch.testing.assert_close(network.pooled(x), (plain.pooled(x) + plain.pooled(x.flip(3))) / 2)
    assert not torch.allclose(plain.pooled(x), plain.pooled(x.flip(3)))
    path = tmp_path / "weights.safetensors"
    mirrored = Classifier(width=4, mirror=True, weights=path, sha256=write_weights(network, path))
    found = mirrored.load("cpu", tmp_path)
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(found(images).logits, found(images.flip(3)).logits)
    with pytest.raises(ComponentError, match="and mirror = false: leave these options out where --extractor names"):
        mirrored.model_copy(update={"mirror": False}).load("cpu", tmp_path)


def test_a_changed_file_is_refused_with_both_hashes(trained: Classifier, tmp_path: Path) -> None:
    assert trained.weights is not None
    content = bytearray(trained.weights.read_bytes())
    content[-1] ^= 1
    trained.weights.write_bytes(content)
    with pytest.raises(ComponentError) as caught:
        trained.load("cpu", tmp_path)
    assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert str(trained.sha256) in str(caught.value)


def test_a_missing_file_is_named_with_the_hash_that_it_should_have(trained: Classifier, tmp_path: Path) -> None:
    assert trained.weights is not None
    trained.weights.unlink()
    with pytest.raises(ComponentError, match=rf"weights\.safetensors cannot be read: No such file.*{trained.sha256}"):
        trained.load("cpu", tmp_path)


def test_without_weights_it_says_how_to_train_some(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match=r"no weights of its own: train some with `sngan extractors train NAME"):
        Classifier().load("cpu", tmp_path)


def test_weights_of_another_size_and_files_of_anything_else_are_refused(trained: Classifier, tmp_path: Path) -> None:
    for changed, called in (
        ({"width": 8}, "width = 8, depth = 1 and mirror = false"),
        ({"depth": 2}, "width = 4, depth = 2 and mirror = false"),
        ({"mirror": True}, "width = 4, depth = 1 and mirror = true"),
    ):
        with pytest.raises(ComponentError, match=f"not those of a classifier of {called}: leave these options out"):
            trained.model_copy(update=changed).load("cpu", tmp_path)
    (tmp_path / "text").write_text("nothing of the kind")
    digest = hashlib.sha256(b"nothing of the kind").hexdigest()
    with pytest.raises(ComponentError, match="not those of a classifier of width = 4"):
        trained.model_copy(update={"weights": tmp_path / "text", "sha256": digest}).load("cpu", tmp_path)
