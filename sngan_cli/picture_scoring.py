"""Scores of anybody's pictures."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

import numpy as np

from sngan_cli.catalog import Catalog
from sngan_cli.composition import compose
from sngan_cli.config import Layer
from sngan_cli.config import recipe as read_recipe
from sngan_cli.contracts import Dataset, Pictures
from sngan_cli.engine import evaluation
from sngan_cli.engine.cache import DecodedPictures, prepare
from sngan_cli.errors import UsageError
from sngan_cli.events import Scored
from sngan_cli.measuring import Audience, Request, Ruler, groups_of
from sngan_cli.paths import Place
from sngan_cli.recording import picture_score_of
from sngan_cli.scoring import Scores
from sngan_cli.wording import first_of, printable
from sngan_registry import PictureScore, Store


def evaluate_images(
    folder: Path,
    dataset: Mapping[str, Any] | None,
    request: Request,
    place: Place,
    audience: Audience,
    *,
    size: int | None,
    name: str | None,
) -> Scores:
    """Score a folder (or archive) of pictures against a data set, and record the scores under a name.

    Without a name pictures that were scored before keep theirs; others are called by their path as it is given, or by
    the absolute one where that is taken by other pictures. `dataset` is its name and options, or None where no metric
    compares. Pictures are resized to the side of the data set's, or else to `size`, which those of one side do without.
    Where they lie in one folder a class, each named as one of the data set's classes, metrics that look at classes do
    so.
    """
    place.store.check_writable()
    path = printable(str(folder))
    held_against = Layer("--images" if dataset is None else "--against", {"dataset": dataset or "folder"})
    layers = [read_recipe("paper"), held_against, request.layer()]
    if dataset is None and (comparing := [name for group in groups_of(request) for name in group.comparing]):
        raise UsageError(f"{', '.join(comparing)} can only be had against real images: give --against DATASET.")
    ruler = Ruler.of(compose(layers, Catalog.installed()), request, place, audience, size=size)
    folder_dataset = cast("Dataset", Catalog.installed().make("dataset", "folder", {}))
    pictures = folder_dataset.open(folder, place.cache / "downloads")
    ruler.try_metrics(len(pictures))
    side = _one_side(_sides(pictures), size, path) if dataset is None else ruler.data.images.shape[1]
    made = prepare(pictures, side, place.cache / "pictures", progress=audience.decoding)
    made.tell(audience.warn)
    data = made if dataset is None else ruler.data
    sides = {made.stored.smallest, made.stored.largest} - {0}
    if dataset is None:
        _one_side(sides, size, path)  # only some of many were looked at before
    own = made.class_names or _only_folder(pictures, data)
    labels = _as_in(data, own, made.labels)
    names = None if labels is None else data.class_names
    evidence = {"pictures": path, "pictures_sha256": made.data_sha256, **_fitted(made, sides, side, audience)}
    called = _Name.of(made.data_sha256, folder, name, place.store)
    ruler.check_classes(names, _why_unlabelled(data, own, path))
    outcome = Scores()
    with outcome.until_stopped():
        for whole in ruler.groups:
            count = min(whole.images, len(made.images))
            group = whole.fit_for(count, outcome.unscored())
            if not group.metrics:
                continue
            ruler.tell_of_fewer("pictures", count, group.images, group.metrics)
            scores = evaluation.score(
                evaluation.pictures(made.images, labels, count),
                group.metrics,
                ruler.extraction,
                step=0,
                samples=count,
                class_names=names,
                real=ruler.real(group, conditional=names is not None, evenly=False),
                settings={},
                evidence=evidence,
                progress=ruler.watch(f"scoring {path}", count),
                unscored=outcome.unscored(),
                protocol=request.protocol.name,
                resized_to=side if sides - {side} else None,
            )
            for scored in scores:
                record = picture_score_of(
                    scored,
                    pictures=called.name,
                    pictures_sha256=made.data_sha256,
                    against="" if dataset is None else ruler.composition.config.dataset.name,
                )
                outcome.record(scored, partial(place.store.picture_scores.add, record))
    outcome.check_some()
    ruler.tell_of_extraction()
    if not outcome.unrecorded:
        called.tell(outcome.found, place.store, audience)
    return outcome


@dataclass(frozen=True)
class _Name:
    """What pictures are called, and what scores of them (`earlier`) and of `others` were called before.

    Nobody may have `given` the name; `path` is where the pictures lie.
    """

    name: str
    given: bool
    path: str
    sha256: str
    earlier: Sequence[PictureScore]
    others: Container[str]

    @classmethod
    def of(cls, sha256: str, folder: Path, given: str | None, store: Store) -> Self:
        """Name pictures of this content in a folder."""
        earlier, path = store.picture_scores.of(sha256), printable(str(folder))
        others = {score.pictures for score in store.picture_scores.all() if score.pictures_sha256 != sha256}
        usual = printable(str(folder.absolute())) if path in others else path
        name = given or (earlier[0].pictures if earlier else usual)
        return cls(name, given is not None, path, sha256, earlier, others)

    def tell(self, found: Sequence[Scored], store: Store, audience: Audience) -> None:
        """Give earlier scores the name, too, and tell what the scores that were found now replace and are called."""
        before = {(score.metric, score.protocol) for score in self.earlier}
        if again := [scored.metric for scored in found if (scored.metric, scored.protocol) in before]:
            audience.warn(f"Scored before by the same protocol, and replaced: {', '.join(again)}.")
        if old := {score.pictures for score in self.earlier} - {self.name}:
            store.picture_scores.rename(self.sha256, self.name)
            audience.warn(f"All scores of these pictures are under {self.name!r} now, not {_named(old)}.")
        elif not self.given and self.name != self.path:
            why = "" if self.earlier else f", since others are called {self.path!r}"
            audience.warn(
                f"These pictures are recorded as {self.name!r}{why}, and so are their new scores: --name changes it."
            )
        if self.name in self.others and (old or not self.earlier):
            audience.warn(
                f"Other pictures are called {self.name!r}, too, and `sngan scores rm` would remove the scores of both: "
                "--name gives these a name of their own."
            )


def _sides(pictures: Pictures) -> set[int]:
    """Sides of up to a thousand of the pictures, spread over all."""
    spread = np.linspace(0, len(pictures) - 1, min(len(pictures), 1000)).astype(int)
    return {min(size) for size in map(pictures.size, spread) if size is not None}


def _fitted(made: DecodedPictures, sides: set[int], side: int, audience: Audience) -> dict[str, str]:
    """What was done to pictures of these `sides`, as evidence, of which the audience is told."""
    evidence = {}
    if sides - {side}:
        evidence["pictures resized"] = f"{_span(sides)} px to {side} px"
        if max(sides) > side:  # of those that are enlarged it has been told
            audience.warn(f"The pictures are resized, {evidence['pictures resized']}.")
    if made.stored.cut:
        evidence["pictures cut"] = f"{made.stored.cut} of {len(made.images)}, to the square in their middle"
        audience.warn(f"Pictures are cut to the square in their middle: {made.stored.cut} of {len(made.images)}.")
    return evidence


def _one_side(sides: set[int], size: int | None, folder: str) -> int:
    """The side that is asked for, or that the pictures have; raises `UsageError` where they have several."""
    if size is not None:
        return size
    if len(sides) > 1:
        raise UsageError(
            f"The pictures in {folder} have sides of {_span(sides)} px: say with --size to which one they are brought."
        )
    return next(iter(sides), 1)  # where none can be read, which is said when they are decoded


def _span(sides: set[int]) -> str:
    return " to ".join(str(side) for side in sorted({min(sides), max(sides)}))


def _named(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names)))


def _only_folder(pictures: Pictures, data: DecodedPictures) -> tuple[str, ...]:
    """The folder that all pictures lie in, where it is called as one of the data set's classes: they are of that."""
    folders = pictures.name(0).split("/")[:-1]
    return tuple(name for name in folders[-1:] if name in (data.class_names or ()))


def _as_in(data: DecodedPictures, names: Sequence[str], labels: np.ndarray) -> np.ndarray | None:
    """Labels of pictures by the data set's numbers of their classes; None where these are not all the data set's."""
    known = {name: k for k, name in enumerate(data.class_names or ())}
    if not names or not known.keys() >= set(names):
        return None
    numbers = np.array([known[name] for name in names], dtype=np.int64)
    return np.take(numbers, labels)


def _why_unlabelled(data: DecodedPictures, names: Sequence[str], folder: str) -> str:
    """Why pictures have no labels by the data set's classes, as the end of a sentence."""
    if not names:
        return f"the pictures in {folder} lie in no folders of the data's classes"
    if not data.class_names:
        return "the data of --against are unlabelled"
    others = [name for name in names if name not in data.class_names]
    return f"the folders {first_of(others)} in {folder} are none of the data's classes, {first_of(data.class_names)}"
