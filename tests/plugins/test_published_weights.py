"""Published weights of extractors: where they are found, what is checked, what is said where they are missing."""

from __future__ import annotations

import hashlib
import io
import pickle
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sngan_cli.contracts import ComponentError, NotFoundError, WeightsUnavailableError
from sngan_plugins.extractors import dinov2, inception_v3, torchvision_inception
from sngan_plugins.extractors.published import PublishedWeights

NAMES = ("inception-v3", "torchvision-inception", "dinov2")
SHAPES = {"inception-v3": (2048, 1008), "torchvision-inception": (2048, 1000), "dinov2": (384, 0)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("source", ["option", "environment", "cache", "torch hub"])
def test_weights_are_found(
    stand_in: Callable[..., Any], name: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, cache = stand_in(name), tmp_path / "cache"
    extractor = made.make()
    if source == "option":
        extractor = made.make(weights=made.path)
    elif source == "environment":
        monkeypatch.setenv(made.published.variable, str(made.path))
    else:
        place = cache if source == "cache" else Path(torch.hub.get_dir()) / "checkpoints"
        place.mkdir(parents=True)
        made.path.rename(place / made.published.file)
    loaded = extractor.load("cpu", cache)
    assert loaded.weights_sha256 == made.published.sha256
    features = loaded(torch.randint(0, 256, (2, 3, 20, 20), dtype=torch.uint8))
    assert (features.pooled.shape[1], features.logits.shape[1]) == SHAPES[name]
    assert features.pooled.isfinite().all()
    assert features.logits.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_at_hand_is_preferred_in_the_order_that_is_documented(
    stand_in: Callable[..., Any], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = stand_in(name)
    for place in (tmp_path / "cache", Path(torch.hub.get_dir()) / "checkpoints"):
        place.mkdir(parents=True)
        (place / made.published.file).write_bytes(b"another file")
    with pytest.raises(ComponentError, match=str(tmp_path / "cache" / made.published.file)):
        made.make().load("cpu", tmp_path / "cache")
    monkeypatch.setenv(made.published.variable, "nowhere.pth")
    with pytest.raises(NotFoundError, match=rf"{made.published.variable} = 'nowhere\.pth' names no file"):
        made.make().load("cpu", tmp_path / "cache")
    made.make(weights=made.path).load("cpu", tmp_path / "cache")


@pytest.mark.parametrize("name", NAMES)
def test_another_file_is_refused_before_it_is_loaded(stand_in: Callable[..., Any], name: str, tmp_path: Path) -> None:
    made, evil = stand_in(name), tmp_path / "evil.pth"
    evil.write_bytes(pickle.dumps(Path("touched")) + b"x")
    with pytest.raises(
        ComponentError, match=rf"evil\.pth are not the expected ones: their SHA-256 is \w+, not {made.published.sha256}"
    ):
        made.make(weights=evil).load("cpu", tmp_path)


def test_a_path_may_begin_at_ones_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.pth"
    torch.save({"x": torch.tensor([7])}, path)
    published = PublishedWeights(
        "own", "https://example.org/other.pth", hashlib.sha256(path.read_bytes()).hexdigest(), "SNGAN_OWN"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    assert published.load(Path("~/own.pth"), tmp_path)["x"].tolist() == [7]
    monkeypatch.setenv("SNGAN_OWN", "~/own.pth")
    assert published.load(None, tmp_path)["x"].tolist() == [7]


def test_what_is_no_tensor_is_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "odd.pth"
    torch.save({"path": Path("touched")}, path)
    published = PublishedWeights(
        "odd", "https://example.org/odd.pth", hashlib.sha256(path.read_bytes()).hexdigest(), "SNGAN_ODD"
    )
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        published.load(path, tmp_path)


@pytest.mark.parametrize("given", ["absent.pth", "~/absent.pth", "~nobody-of-this-name/absent.pth"])
def test_a_given_file_that_is_not_there_is_an_error_not_a_reason_to_download(
    stand_in: Callable[..., Any], tmp_path: Path, given: str
) -> None:
    with pytest.raises(NotFoundError, match=rf"extractor\.weights = '{given}' names no file"):
        stand_in("dinov2").make(weights=Path(given)).load("cpu", tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_failed_download_says_what_to_do_by_hand(stand_in: Callable[..., Any], name: str, tmp_path: Path) -> None:
    made, cache = stand_in(name), tmp_path / "cache"
    with pytest.raises(WeightsUnavailableError) as failed:
        made.make().load("cpu", cache)
    message = str(failed.value)
    assert f"Download {made.published.url} by hand to {cache / made.published.file}" in message
    assert made.published.variable in message
    assert "--set extractor.weights=FILE" in message
    assert list(cache.iterdir()) == []


def test_a_cache_that_is_no_folder_is_a_failed_download(stand_in: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(WeightsUnavailableError, match="could not be downloaded"):
        stand_in("dinov2").make().load("cpu", tmp_path / "cache")
    with pytest.raises(WeightsUnavailableError, match=r"could not be downloaded \(Not a directory\)"):
        stand_in("dinov2").make().load("cpu", tmp_path / "cache" / "weights")


def test_a_download_is_verified_before_it_takes_its_place(
    stand_in: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, cache = stand_in("dinov2"), tmp_path / "cache"
    content = made.path.read_bytes()
    asked = []

    def opened(sent: bytes) -> Callable[..., io.BytesIO]:
        return lambda url, timeout: asked.append(url) or io.BytesIO(sent)  # type: ignore[func-returns-value]

    monkeypatch.setattr(urllib.request, "urlopen", opened(content[:1000]))
    with pytest.raises(WeightsUnavailableError, match=r"\(1000 bytes came that are not the file\)"):
        made.make().load("cpu", cache)
    assert list(cache.iterdir()) == []
    monkeypatch.setattr(urllib.request, "urlopen", opened(content))
    made.make().load("cpu", cache)
    assert (cache / made.published.file).read_bytes() == content
    assert [path.name for path in cache.iterdir()] == [made.published.file]
    made.make().load("cpu", cache)
    assert asked == [made.published.url] * 2


@pytest.mark.parametrize("weights", [inception_v3.WEIGHTS, torchvision_inception.WEIGHTS], ids=lambda w: w.title)
def test_published_checksums_begin_as_the_files_are_named(weights: PublishedWeights) -> None:
    assert weights.file.endswith(f"-{weights.sha256[:8]}.pth")
    assert len(weights.sha256) == 64


@pytest.mark.parametrize(
    ("size", "measures", "file", "sha256"),
    [
        ("small", (384, 12, 6), "dinov2_vits14_pretrain.pth",
         "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9"),
        ("base", (768, 12, 12), "dinov2_vitb14_pretrain.pth",
         "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73"),
        ("large", (1024, 24, 16), "dinov2_vitl14_pretrain.pth",
         "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428"),
    ],
)  # fmt: skip
def test_sizes_of_dinov2_are_those_of_the_paper_with_weights_of_their_own(
    size: str, measures: tuple[int, int, int], file: str, sha256: str
) -> None:
    """Width, layers and heads of the ViT-S, B and L. Weights would go into other numbers of heads, too."""
    width, layers, heads, weights = dinov2.SIZES[size]
    assert ((width, layers, heads), weights.file, weights.sha256) == (measures, file, sha256)
