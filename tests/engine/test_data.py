"""The stream of real images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sngan_cli.engine.data import ImageStream, derived_seed


def stream(count: int = 10, side: int = 2, **settings: Any) -> ImageStream:
    """Pictures whose grey level is their number; the left half is dark when `split`."""
    images = np.repeat(np.arange(count, dtype=np.uint8), side * side * 3).reshape(count, side, side, 3)
    settings = {"flip": False, "dequantize": False, "seed": 0} | settings
    return ImageStream(images, np.arange(count, dtype=np.int64), device=torch.device("cpu"), **settings)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_every_image_is_seen_once_an_epoch_with_its_label() -> None:
    real = stream()
    random = generator()
    batches = [real.next(4, random) for _ in range(5)]
    labels = torch.cat([y for _, y in batches])
    assert sorted(labels[:10].tolist()) == sorted(labels[10:].tolist()) == list(range(10))
    assert labels[:10].tolist() != labels[10:].tolist()
    images = torch.cat([x for x, _ in batches])
    torch.testing.assert_close(images[:, 0, 0, 0], labels / 127.5 - 1)


def test_a_batch_larger_than_the_data_set_goes_round() -> None:
    _, y = stream(3).next(8, generator())
    assert torch.bincount(y).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


def test_levels_map_to_the_whole_of_the_unit_range() -> None:
    images = np.array([0, 255], dtype=np.uint8).reshape(2, 1, 1, 1).repeat(3, axis=3)
    real = ImageStream(
        images, np.zeros(2, dtype=np.int64), device=torch.device("cpu"), seed=0, flip=False, dequantize=False
    )
    x, _ = real.next(2, generator())
    assert sorted(x[:, 0, 0, 0].tolist()) == [-1.0, 1.0]


def test_dequantisation_spreads_each_level_over_its_own_bin() -> None:
    real = stream(256, side=8, dequantize=True)
    x, y = real.next(256, generator())
    bins = torch.floor((x + 1) * 128)
    assert torch.equal(bins, y.view(-1, 1, 1, 1).expand_as(bins).float())
    assert x.min() >= -1
    assert x.max() < 1
    assert x[0].unique().numel() > 100


def test_half_of_the_images_are_mirrored() -> None:
    images = np.zeros((1, 2, 2, 3), dtype=np.uint8)
    images[:, :, 1] = 255
    real = ImageStream(
        images, np.zeros(1, dtype=np.int64), device=torch.device("cpu"), seed=0, flip=True, dequantize=False
    )
    x, _ = real.next(1000, generator())
    mirrored = x[:, 0, 0, 0] == 1
    assert torch.equal(x[:, 0, 0, 1] == -1, mirrored)
    assert mirrored.float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_the_stream_goes_on_from_its_position() -> None:
    one, other = stream(seed=5), stream(seed=5)
    for _ in range(7):
        one.next(3, generator())
    other.drawn = one.drawn
    for _ in range(7):
        assert torch.equal(one.next(3, generator())[1], other.next(3, generator())[1])


def test_the_order_of_an_epoch_follows_from_the_seed_and_the_epoch_alone() -> None:
    def orders(seed: int, **settings: Any) -> list[list[int]]:
        real = stream(seed=seed, **settings)
        return [real.next(10, torch.Generator().manual_seed(k))[1].tolist() for k in range(2)]

    assert orders(5) == orders(5, flip=True, dequantize=True)
    assert not any(order in orders(6) for order in orders(5))


@pytest.mark.parametrize("budget", [None, 20])
def test_shares_of_a_batch_are_together_the_batch_with_its_flips_and_noise(budget: int | None) -> None:
    images = np.arange(7 * 4 * 3, dtype=np.uint8).reshape(7, 2, 2, 3)
    settings: dict[str, Any] = {"device": torch.device("cpu"), "seed": 3, "flip": True, "dequantize": True}
    shares = [slice(None), slice(0, None, 2), slice(1, None, 2)]
    streams = [ImageStream(images, np.arange(7), share=share, budget=budget, **settings) for share in shares]
    randoms = [generator() for _ in shares]
    for _ in range(4):  # beyond an epoch
        (x, y), *parts = [real.next(4, random) for real, random in zip(streams, randoms, strict=True)]
        for share, (found, labels) in zip(shares[1:], parts, strict=True):
            assert torch.equal(found, x[share])
            assert torch.equal(labels, y[share])
        assert len({real.drawn for real in streams}) == 1


def test_seeds_stay_what_they_were_so_that_runs_can_be_repeated() -> None:
    # The first 8 bytes of the SHA-256 of "0/epoch 0", but for the last bit.
    assert derived_seed(0, "epoch 0") == 0x5C9C_ABD8_698A_FA70 >> 1


def test_seeds_differ_by_purpose_and_fit_torch() -> None:
    seeds = {derived_seed(0, "a"), derived_seed(0, "b"), derived_seed(1, "a")}
    assert len(seeds) == 3
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_stream_from_the_host_is_the_same_and_is_read_ahead() -> None:
    kept, streamed = stream(7, seed=5), stream(7, seed=5, budget=20)
    ahead = []
    read = streamed._read

    def noticed(position: int, batch: int) -> Any:
        ahead.append(position)
        return read(position, batch)

    streamed._read = noticed  # type: ignore[method-assign]
    for k in range(5):
        ours, theirs = streamed.next(3, generator()), kept.next(3, generator())
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])
        assert streamed.drawn == kept.drawn == 3 * (k + 1)
    # A jump, as when a run is resumed, and another number of images.
    kept.drawn = streamed.drawn = 100
    assert torch.equal(streamed.next(4, generator())[1], kept.next(4, generator())[1])
    assert torch.equal(streamed.next(2, generator())[1], kept.next(2, generator())[1])
    streamed.next(2, generator())
    assert ahead[:5] == [0, 3, 6, 9, 12]
    assert {100, 104, 106} <= set(ahead)


def test_an_error_on_the_way_is_raised_where_the_batch_is_asked_for() -> None:
    streamed = stream(7, budget=20)

    def broken(position: int, batch: int) -> Any:
        raise OSError("the disk is gone")

    streamed._read = broken  # type: ignore[method-assign]
    with pytest.raises(OSError, match="the disk is gone"):
        streamed.next(3, generator())
