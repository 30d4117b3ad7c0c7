"""The Inception network, with random weights in place of the published ones: where they are found, what is checked."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from sngan_cli.contracts import ComponentError, WeightsUnavailableError
from sngan_plugins.extractors import inception_v3
from sngan_plugins.extractors.inception_v3 import FILE, VARIABLE, InceptionV3


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Random weights of torch-fidelity's network, which has no other way to be built than from a file."""
    found: dict[str, torch.Tensor] = {}

    class Probe(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, state_dict: Any, **_: Any) -> None:
            found.update(self.state_dict())

    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "load", lambda *_, **__: {})
        Probe("probe", ["2048"], "unused")
    return {name: tensor.clone() for name, tensor in found.items()}


@pytest.fixture
def weights(state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of weights, whose checksum stands in for the published one's."""
    path = tmp_path / "given.pth"
    torch.save(state, path)
    monkeypatch.setattr(inception_v3, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


@pytest.mark.parametrize("source", ["option", "environment", "cache", "torch hub"])
def test_weights_are_found(weights: Path, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, extractor = tmp_path / "cache", InceptionV3()
    if source == "option":
        extractor = InceptionV3(weights=weights)
    elif source == "environment":
        monkeypatch.setenv(VARIABLE, str(weights))
    else:
        place = cache if source == "cache" else Path(torch.hub.get_dir()) / "checkpoints"
        place.mkdir(parents=True)
        weights.rename(place / FILE)
    loaded = extractor.load("cpu", cache)
    assert loaded.weights_sha256 == inception_v3.SHA256
    features = loaded(torch.randint(0, 256, (2, 3, 20, 20), dtype=torch.uint8))
    assert (features.pooled.shape, features.logits.shape) == ((2, 2048), (2, 1008))
    assert features.logits.isfinite().all()


def test_logits_are_torch_fidelity_s_without_the_bias(weights: Path, state: dict[str, torch.Tensor]) -> None:
    features = InceptionV3(weights=weights).load("cpu", Path("unused"))(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    torch.testing.assert_close(features.logits, features.pooled @ state["fc.weight"].T)


def test_another_file_is_refused_before_it_is_loaded(weights: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil.pth"
    evil.write_bytes(pickle.dumps(Path("touched")) + b"x")
    with pytest.raises(
        ComponentError, match=rf"evil\.pth are not the expected ones: their SHA-256 is \w+, not {inception_v3.SHA256}"
    ):
        InceptionV3(weights=evil).load("cpu", tmp_path)


def test_a_given_file_that_is_not_there_is_an_error_not_a_reason_to_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ComponentError, match=r"extractor\.weights = '.*absent\.pth' names no file"):
        InceptionV3(weights=tmp_path / "absent.pth").load("cpu", tmp_path)
    monkeypatch.setenv(VARIABLE, "nowhere.pth")
    with pytest.raises(ComponentError, match=rf"{VARIABLE} = 'nowhere\.pth' names no file"):
        InceptionV3().load("cpu", tmp_path)


def test_a_failed_download_says_what_to_do_by_hand(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailableError) as failed:
        InceptionV3().load("cpu", tmp_path / "cache")
    message = str(failed.value)
    assert f"Download {inception_v3.URL} by hand to {tmp_path / 'cache' / FILE}" in message
    assert VARIABLE in message
    assert "--set extractor.weights=FILE" in message
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_published_checksum_begins_as_the_file_is_named() -> None:
    assert f"weights-inception-2015-12-05-{inception_v3.SHA256[:8]}.pth" == FILE
