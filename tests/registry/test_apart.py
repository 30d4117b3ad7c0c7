"""What is recorded apart from runs: the same on every back end."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sngan_registry import (
    ExtractorRecord,
    PictureScore,
    RegistryError,
    Score,
    Store,
    best_first,
    most_used_first,
)

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def extractor(name: str, weights: str, **changes: Any) -> ExtractorRecord:
    usual: dict[str, Any] = {
        "manifest": {"name": name, "class_names": ["ant", "bee"], "dataset": {"name": "shapes"}, "accuracy": 0.75},
        "host": "here",
        "path": f"/home/extractors/{name}",
        "created": NOON,
    }
    return ExtractorRecord(**{**usual, **changes}, name=name, weights_sha256=weights * 64)


def of_pictures(pictures: str, content: str, value: float, **changes: Any) -> PictureScore:
    usual: dict[str, Any] = {
        "metric": "fid",
        "std": None,
        "higher_is_better": False,
        "protocol": "mine@01234567 n=100",
        "evidence": {"images": 100},
        "against": "shapes",
        "created": NOON,
    }
    return PictureScore(**{**usual, **changes}, pictures=pictures, pictures_sha256=content * 64, value=value)


# Extractors


def test_an_extractor_comes_back_as_it_was_given(store: Store) -> None:
    given = extractor("mine", "a")
    store.extractors.add(given)
    assert store.extractors.all() == (given,)


def test_one_that_takes_the_place_of_another_removes_it(store: Store) -> None:
    before = datetime.now(UTC)
    old, new = extractor("mine", "a"), extractor("mine", "b", created=NOON + timedelta(hours=1))
    elsewhere = [extractor("mine", "c", host="there"), extractor("mine", "d", path="/other/extractors/mine")]
    gone = extractor("mine", "e", removed=NOON)
    for each in (old, *elsewhere, gone, new):
        store.extractors.add(each)
    found = {record.weights_sha256[0]: record for record in store.extractors.all()}
    removed = found["a"].removed
    assert removed is not None
    assert before <= removed <= datetime.now(UTC)
    assert found["a"] == replace(old, removed=removed)
    assert [found[key] for key in "bcde"] == [new, *elsewhere, gone]


def test_one_training_under_two_names_is_two_extractors_and_removed_apart(store: Store) -> None:
    for name in ("one", "other"):
        store.extractors.add(extractor(name, "a"))
    store.extractors.add(extractor("one", "b", path="/other/extractors/one"))

    def there() -> list[tuple[str, str]]:
        return [(each.name, each.weights_sha256[0]) for each in store.extractors.all() if each.removed is None]

    store.extractors.remove(extractor("one", "a"))
    assert (there(), len(store.extractors.all())) == ([("one", "b"), ("other", "a")], 3)
    store.extractors.add(extractor("one", "a"))
    assert (there(), len(store.extractors.all())) == ([("one", "a"), ("one", "b"), ("other", "a")], 3)


def test_a_registry_that_is_not_there_has_none_and_takes_none(url: str) -> None:
    with Store.open(url, create=False) as store:
        assert (store.extractors.all(), store.picture_scores.all(), store.run_scores()) == ((), (), ())
        with pytest.raises(RegistryError, match="readonly"):
            store.extractors.add(extractor("mine", "a"))
        with pytest.raises(RegistryError, match="readonly"):
            store.check_writable()


def test_finding_out_whether_a_registry_can_be_written_changes_nothing(store: Store, new_run: Any) -> None:
    run = store.create_run(new_run(name="a name"))
    store.check_writable()
    assert store.run(run.id) == run


# Scores of pictures


def test_a_score_of_pictures_comes_back_and_one_without_a_date_is_of_now(store: Store) -> None:
    before = datetime.now(UTC)
    given = of_pictures("theirs", "a", 12.5, std=0.5, evidence={"classes": {"ant": 1.5}})
    store.picture_scores.add(given)
    store.picture_scores.add(of_pictures("undated", "b", math.nan, created=None))
    dated, undated = store.picture_scores.all()
    assert dated == given
    assert math.isnan(undated.value)
    assert undated.created is not None
    assert before <= undated.created <= datetime.now(UTC)


def test_the_same_pictures_are_known_by_content_and_scored_once_by_each_protocol(store: Store) -> None:
    kept = [
        of_pictures("b", "a", 3.0),
        of_pictures("b", "a", 3.0, metric="kid"),
        of_pictures("b", "a", 3.0, protocol="other n=5"),
        of_pictures("a", "b", 9.0),
    ]
    for score in (of_pictures("first", "a", 2.0), *kept):
        store.picture_scores.add(score)
    assert store.picture_scores.all() == (kept[3], kept[0], kept[2], kept[1])


def test_several_may_score_the_same_pictures_and_add_the_same_extractor_at_once(url: str, store: Store) -> None:
    ready = threading.Barrier(4, timeout=20)

    def add(value: float) -> None:
        with Store.open(url) as own:
            for content in "abcdef":
                ready.wait()
                own.picture_scores.add(of_pictures("same", content, value))
                own.extractors.add(extractor("mine", content))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, (1.0, 2.0, 3.0, 4.0)))
    found = store.picture_scores.all()
    assert sorted(score.pictures_sha256[0] for score in found) == [*"abcdef"]
    assert {score.value for score in found} <= {1.0, 2.0, 3.0, 4.0}
    assert sorted(each.weights_sha256[0] for each in store.extractors.all()) == [*"abcdef"]


def test_scores_of_pictures_are_forgotten_by_name(store: Store) -> None:
    for score in (of_pictures("a", "a", 1.0), of_pictures("a", "b", 2.0), of_pictures("b", "c", 3.0)):
        store.picture_scores.add(score)
    assert store.picture_scores.remove("a") == 2
    assert store.picture_scores.remove("a") == 0
    assert [score.pictures for score in store.picture_scores.all()] == ["b"]


def test_pictures_are_renamed_in_all_scores_of_them(store: Store) -> None:
    earlier, later = (
        of_pictures("path", "a", 1.0),
        of_pictures("b", "a", 2.0, protocol="p", created=NOON.replace(day=3)),
    )
    other = of_pictures("path", "b", 3.0)
    for score in (earlier, later, other):
        store.picture_scores.add(score)
    assert store.picture_scores.of("a" * 64) == (later, earlier)
    store.picture_scores.rename("a" * 64, "theirs")
    assert store.picture_scores.of("a" * 64) == tuple(replace(s, pictures="theirs") for s in (later, earlier))
    assert store.picture_scores.of("b" * 64) == (other,)
    assert store.picture_scores.of("c" * 64) == ()


# Beside runs


def test_scores_of_all_runs_bear_the_runs_names(store: Store, new_run: Any) -> None:
    of_run = {"metric": "fid", "std": None, "higher_is_better": False, "protocol": "p", "created": NOON}
    ids = [store.create_run(new_run(name=name)).id for name in ("first", None)]
    for run_id, step in ((ids[1], 5), (ids[0], 7), (ids[0], 2)):
        store.add_score(run_id, Score(**of_run, step=step, value=step / 2, evidence={"generator_weights": "raw"}))
    found = store.run_scores()
    expected = sorted(
        [(ids[0], "first", 2, 1.0), (ids[0], "first", 7, 3.5), (ids[1], None, 5, 2.5)], key=lambda s: s[0]
    )
    assert [(s.run_id, s.name, s.step, s.value) for s in found] == expected
    assert found[0].evidence == {"generator_weights": "raw"}


@pytest.mark.parametrize(("higher", "order"), [(False, [1.0, 2.0, 3.0]), (True, [3.0, 2.0, 1.0])])
def test_the_best_comes_first_and_nan_last(higher: bool, order: list[float]) -> None:
    scores = [of_pictures("a", "a", value, higher_is_better=higher) for value in (2.0, math.nan, 3.0, 1.0)]
    found = [score.value for score in best_first(scores)]
    assert found[:3] == order
    assert math.isnan(found[3])


def test_protocols_of_pictures_are_told_by_how_many_use_them() -> None:
    scores = [of_pictures("a", "a", 1.0, protocol="rare"), *(of_pictures("b", k, 1.0) for k in "bc")]
    assert most_used_first((s.pictures_sha256, s) for s in scores) == ["mine@01234567 n=100", "rare"]
