"""What is wrong with a run, told from what it recorded: losses, scores, checkpoints, and how it ended."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from statistics import median, pstdev
from typing import Any

from sngan_registry import Checkpoint, Run, Scalar, Score, Status

SEVERITY = ("diverged", "pinned", "won", "collapsed", "falling", "recovered", "untold", "healthy")
"""Kinds of findings, the worst first: what ends a run, then what keeps it from learning, then what shows in its scores.

`recovered` is the rank of what is over; such a finding keeps its kind.
"""

ENOUGH = 50
"""Readings of D's loss below which nothing is said of it: the patience of the notice given while training."""
WINDOW = 20
"""Losses are smoothed by a running mean over this part (one n-th) of the readings, as one batch tells little."""
LONG = 4
"""A loss must stand somewhere for this part (one n-th) of the run: every run begins near its blind value."""
PINNED = 0.03
"""D's mean loss stands at its blind value within this fraction of it.

With n_dis 1 healthy runs are a tenth below it, or more. Those with a slow D come as near as 1 %, and G learns all the
same: what tells them from the ill ones, which are within 0.1 %, is that their scores rise.
"""
WON, MOSTLY = 0.05, 0.75
"""D has won where this fraction of its blind value is above most readings (so many of them) of its loss.

Most, not their mean: a D that has won still errs on single batches, and dearly without spectral norm. Healthy runs do
not come below a fifth.
"""
EXPLODED = 1e6
"""Losses of this size are those of weights that grew without bound, finite or not: healthy ones are below a hundred."""
MARGIN = 0.05
"""A score has moved if it did by more than this fraction of itself, and by more than its deviation at both ends.

Scores of a G that has settled wander by 1 or 2 %.
"""
ALIKE = 0.25
"""Pictures of a class that differ by less than this fraction of what real ones do are taken for a few, repeated.

By `shapes-cnn`, classes of healthy runs were at 0.9 or above; a G that draws one picture only was at 0.02, and one
whose Inception Score had fallen to 1.06 at 0.25.
"""
NAMED = 10
"""Classes that a message names at most."""


@dataclass(frozen=True)
class History:
    """What was recorded of a run, and what it takes to judge it.

    `blind` is D's loss where it tells nothing apart (None where it is unknown), `best_step` the step that
    `--checkpoint best` means (None where there is none).
    """

    run: Run
    scalars: Sequence[Scalar]
    scores: Sequence[Score]
    checkpoints: Sequence[Checkpoint]
    blind: float | None
    best_step: int | None = None

    def curve(self, name: str) -> list[tuple[int, float]]:
        """Points (step, value) of a scalar by step, the finite ones."""
        return sorted((s.step, s.value) for s in self.scalars if s.name == name and math.isfinite(s.value))

    def qualities(self) -> list[list[Score]]:
        """Series of scores that rise or fall with the quality of pictures.

        Diversity does not: that of a G which does not draw its classes yet is above the data's.
        """
        return [scores for scores in self.series() if scores[0].metric != "diversity"]

    def series(self) -> list[list[Score]]:
        """Scores that may be compared (one metric, protocol and kind of G's weights), each series by step."""
        found: dict[tuple[str, str, str], list[Score]] = {}
        for score in sorted(self.scores, key=lambda s: s.step):
            if math.isfinite(score.value):
                key = (score.metric, score.protocol, str(score.evidence.get("generator_weights", "")))
                found.setdefault(key, []).append(score)
        return list(found.values())

    def told(self, key: str) -> Any:
        """A setting of the run, a component by its name; None where it is not recorded."""
        value = self.run.config.get(key)
        return value.get("name") if isinstance(value, Mapping) else value


@dataclass(frozen=True)
class Finding:
    """One thing that is so with a run: since (or at) which step, what was seen and means, and what to do about it."""

    kind: str
    step: int | None
    message: str
    remedy: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether the run has recovered from it."""
        return self.figures.get("recovered") is not None


def diagnose(history: History) -> list[Finding]:
    """Say what is wrong with a run, the worst first; one finding `untold` or `healthy` where nothing is."""
    exploded = _exploded(history)
    if exploded is not None:
        return [_diverged(history) or exploded]
    rules = (_diverged, _pinned, _won, _collapsed)
    found = [finding for rule in rules if (finding := rule(history)) is not None]
    found += _falling(history)
    if found:
        return sorted(found, key=lambda f: SEVERITY.index("recovered" if f.is_over else f.kind))
    return [_untold(history) or _healthy(history)]


def not_looked_for(history: History) -> list[str]:
    """Say in a line each what could not be looked for, and what would change that."""
    notes = []
    if history.blind is None or history.blind <= 0:
        why = "cannot be computed here" if history.blind is None else "is not above 0 where D tells nothing apart"
        notes.append(f"Whether D was pinned or won was not looked for: the loss {history.told('loss')!r} {why}.")
    if not any(score.metric == "diversity" for score in history.scores):
        whose = "Collapse of classes" if history.told("conditional") else "Collapse"
        measure = f"`sngan evaluate {history.run.id} --metric diversity --protocol quick`"
        notes.append(f"{whose} was not looked for: {measure} measures it.")
    return notes


# Rules ---------------------------------------------------------------------------------------------------------------


def _diverged(history: History) -> Finding | None:
    run, reason = history.run, history.run.reason or ""
    if run.status is not Status.FAILED or not reason.startswith("Training diverged"):
        return None
    named, well = re.search(r"by step (\d+)", reason), re.search(r"all was well at step (\d+)", reason)
    step = int(named[1]) if named else run.step
    until = f"; all was well at step {well[1]}" if well else ""
    saved = max(_on_disk(history), default=None)
    before = f" The last checkpoint from before it is that of step {saved}." if saved else ""
    return Finding(
        "diverged",
        step,
        f"A loss or weight became NaN or infinite by step {step}{until}. Training cannot go on from there.{before}",
        _calm(history),
        {"last_good_step": int(well[1]) if well else None, "checkpoint": saved},
    )


def _exploded(history: History) -> Finding | None:
    beyond = EXPLODED * max(1.0, abs(history.blind or 0.0))
    bad = [s for s in history.scalars if s.name in ("loss_d", "loss_g") and not abs(s.value) < beyond]
    if not bad:
        return None
    first = min(bad, key=lambda s: s.step)
    whose = "D" if first.name == "loss_d" else "G"
    return Finding(
        "diverged",
        first.step,
        f"{whose}'s loss was {_n(first.value)} at step {first.step}: weights have grown beyond all measure, and no "
        "loss or score from there on means anything.",
        _calm(history),
        {first.name: first.value},
    )


def _pinned(history: History) -> Finding | None:
    stretch = _blind_stretch(history)
    if stretch is None:
        return None
    learned, proof = _scores_within(history, stretch)
    if learned:
        return None
    last, mean = history.curve("loss_d")[-1][0], _mean(stretch.values)
    is_over = stretch.until < last
    figures = {
        "loss_d": mean, "blind": history.blind, "recovered": stretch.until if is_over else None, "last_step": last,
    }  # fmt: skip
    stood = f"at {_n(mean)} (where D tells nothing apart it is {_n(history.blind or 0)}){proof}"
    if is_over:
        return Finding(
            "pinned",
            stretch.since,
            f"From step {stretch.since} to step {stretch.until} D's loss stood {stood}. G was too strong for D, but D "
            "has recovered since.",
            f"Nothing needs to be done, unless it comes back. {_strengthen(history)}",
            figures,
        )
    return Finding(
        "pinned",
        stretch.since,
        f"Since step {stretch.since}, and still at step {last}, D's loss has stood {stood}. G is too strong for D: D's "
        "updates teach it nothing, and such a D teaches G nothing.",
        _strengthen(history),
        figures,
    )


def _won(history: History) -> Finding | None:
    curve, blind = history.curve("loss_d"), history.blind
    if blind is None or blind <= 0 or len(curve) < ENOUGH:
        return None
    stretch = _stretch(curve, lambda value: float(value < WON * blind), lambda part: part >= MOSTLY)
    if stretch is None or stretch.until < curve[-1][0]:
        return None
    learned, proof = _scores_within(history, stretch)
    if learned is None:
        learned, proof = _loss_g_within(history, stretch)
    if learned is not False:
        return None
    typical = median(stretch.values)
    return Finding(
        "won",
        stretch.since,
        f"Since step {stretch.since}, and still at step {stretch.until}, D's loss has stood near 0 (by median at "
        f"{_n(typical)}; where D tells nothing apart it is {_n(blind)}){proof}. D tells every picture apart, and G "
        "learns nothing from such a D.",
        _weaken(history),
        {"loss_d": typical, "blind": blind, "last_step": stretch.until},
    )


def _collapsed(history: History) -> Finding | None:
    series = [scores for scores in history.series() if scores[0].metric == "diversity"]
    if not series:
        return None
    weights = history.run.config.get("weights")
    last = max((s[-1] for s in series), key=lambda s: (s.step, s.evidence.get("generator_weights") == weights))
    classes = last.evidence.get("classes")
    remedy = (
        "Look at the sheets of samples in the run's folder for an earlier checkpoint whose pictures differ more, and "
        f"train anew with more images a batch or a stronger D. {_strengthen(history)}"
    )
    if not isinstance(classes, Mapping):
        if last.value >= ALIKE:
            return None
        message = (
            f"At step {last.step} pictures of G differ from one another {_n(last.value)} times as much as real ones "
            "do: it draws a few, over and over."
        )
        return Finding("collapsed", last.step, message, remedy, {"diversity": last.value})
    ill = {str(k): float(v) for k, v in classes.items() if isinstance(v, int | float) and v < ALIKE}
    if not ill:
        return None
    lowest = dict(sorted(ill.items(), key=lambda item: item[1]))
    named = ", ".join(f"{name} ({_n(value)})" for name, value in list(lowest.items())[:NAMED])
    more = f" and {len(lowest) - NAMED} more" if len(lowest) > NAMED else ""
    return Finding(
        "collapsed",
        last.step,
        f"At step {last.step} G draws a few pictures over and over in {len(lowest)} of {len(classes)} classes: "
        f"{named}{more}. Each figure says how many times as much they differ as real ones do.",
        remedy,
        {"diversity": last.value, "classes": lowest},
    )


def _falling(history: History) -> list[Finding]:
    found = []
    for scores in history.qualities():
        last, peak = scores[-1], _best(scores)
        if not _is_better(peak, last):
            continue
        checkpoint, remedy = _checkpoint_to_use(history, scores)
        figures = {
            "metric": last.metric, "protocol": last.protocol, "weights": last.evidence.get("generator_weights"),
            "peak": peak.value, "last": last.value, "last_step": last.step, "checkpoint": checkpoint,
        }  # fmt: skip
        found.append(
            Finding(
                "falling",
                peak.step,
                f"{_called(last)} was best at step {peak.step}, {_value(peak)}, and has come to {_value(last)} at step "
                f"{last.step}: G drew better pictures then than it does now.",
                remedy,
                figures,
            )
        )
    return found


def _untold(history: History) -> Finding | None:
    readings, step = len(history.curve("loss_d")), history.run.step
    if readings >= ENOUGH:
        return None
    every = history.run.config.get("log_every") or 1
    times = "once" if readings == 1 else f"{readings} times"
    return Finding(
        "untold",
        step,
        f"Too little is known to say anything: D's loss was recorded {times} up to step {step}; it takes {ENOUGH}.",
        f"Train it for {ENOUGH * every} steps at least (`sngan train --resume {history.run.id} --steps "
        f"{max(step, ENOUGH * every)}`), or have losses recorded more often: `--set log_every=1`.",
        {"readings": readings},
    )


def _healthy(history: History) -> Finding:
    means = _running_means([value for _, value in history.curve("loss_d")])
    low, high = min(means), max(means)
    blind = "" if history.blind is None else f"; where it tells nothing apart it is {_n(history.blind)}"
    said = [f"Nothing ill was found. D's loss stayed between {_n(low)} and {_n(high)} (running mean{blind})."]
    if _blind_stretch(history) is not None:
        said.append("D is hardly ahead of G, but scores rose meanwhile.")
    told = []
    for scores in history.qualities():
        last, peak = scores[-1], _best(scores)
        best = "the best so far" if peak is last else f"after {_value(peak)} at step {peak.step}"
        said.append(f"{_called(last)} is {_value(last)} at step {last.step}, {best}.")
        told.append(
            {"metric": last.metric, "protocol": last.protocol, "weights": last.evidence.get("generator_weights"),
             "peak": peak.value, "peak_step": peak.step, "last": last.value, "last_step": last.step}
        )  # fmt: skip
    if not told:
        said.append("No score was recorded, so the losses alone speak for it.")
    figures = {"loss_d_low": low, "loss_d_high": high, "blind": history.blind, "scores": told}
    return Finding("healthy", history.run.step, " ".join(said), figures=figures)


# Curves --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stretch:
    """A part of a curve: its first and last step, and its values."""

    since: int
    until: int
    values: Sequence[float]


def _running_means(values: Sequence[float]) -> list[float]:
    width = _width(values)
    sums = [0.0, *accumulate(values)]
    return [(end - start) / width for start, end in zip(sums, sums[width:], strict=False)]


def _width(values: Sequence[float]) -> int:
    return max(1, len(values) // WINDOW)


def _stretch(
    curve: Sequence[tuple[int, float]], of: Callable[[float], float], inside: Callable[[float], bool]
) -> _Stretch | None:
    """Where the running mean of `of` the values is `inside` for long; None where it nowhere is.

    Of several such stretches the one that lasts to the end, else the longest.
    """
    values = [value for _, value in curve]
    found: list[tuple[int, int]] = []
    end = 0
    for is_inside, group in groupby(map(inside, _running_means([of(value) for value in values]))):
        begin, end = end, end + len(list(group))
        if is_inside:
            found.append((begin, end - 1 + _width(values)))
    found = [(a, b) for a, b in found if (b - a) * LONG >= len(curve)]
    if not found:
        return None
    a, b = max(found, key=lambda ab: (ab[1] == len(curve), ab[1] - ab[0]))
    a = next((k for k in range(a, b) if inside(of(values[k]))), a)  # the first mean reaches back to where it began
    return _Stretch(curve[a][0], curve[b - 1][0], values[a:b])


def _blind_stretch(history: History) -> _Stretch | None:
    """Where D's loss stands at its blind value."""
    curve, blind = history.curve("loss_d"), history.blind
    if blind is None or blind <= 0 or len(curve) < ENOUGH:
        return None
    return _stretch(curve, lambda value: value, lambda mean: abs(mean - blind) < PINNED * blind)


def _scores_within(history: History, stretch: _Stretch) -> tuple[bool | None, str]:
    """Whether any score became better within a stretch (None where it cannot be told), and how they did not."""
    series = [[s for s in scores if stretch.since <= s.step <= stretch.until] for scores in history.qualities()]
    series = [scores for scores in series if len(scores) > 1]
    if not series:
        return None, ""
    if any(_is_better(scores[-1], scores[0]) for scores in series):
        return True, ""
    first, last = series[0][0], series[0][-1]
    went = "fell" if _is_better(first, last) else "grew no better"
    ends = f"from {_value(first)} at step {first.step} to {_value(last)} at step {last.step}"
    return False, f", and `{first.metric}` {went}, {ends}"


def _loss_g_within(history: History, stretch: _Stretch) -> tuple[bool | None, str]:
    """What G's loss says, where there are no scores: False and how it rose, or None."""
    values = [value for step, value in history.curve("loss_g") if stretch.since <= step <= stretch.until]
    early, late = values[: len(values) // 3], values[-(len(values) // 3) :]
    if not early or _mean(late) - _mean(early) <= max(pstdev(early), pstdev(late)):
        return None, ""
    return False, f", and G's loss kept rising, from {_n(_mean(early))} to {_n(_mean(late))} (means of a third each)"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


# Scores --------------------------------------------------------------------------------------------------------------


def _best(scores: Sequence[Score]) -> Score:
    """The best of comparable scores, the later of two equal ones."""
    return max(scores, key=lambda s: (s.value if s.higher_is_better else -s.value, s.step))


def _is_better(one: Score, other: Score) -> bool:
    """Whether a score is better than another by more than their spread, and by more than a margin."""
    gain = one.value - other.value if one.higher_is_better else other.value - one.value
    spread = (one.std or 0.0) + (other.std or 0.0)
    return gain > max(spread, MARGIN * max(abs(one.value), abs(other.value)))


def _checkpoint_to_use(history: History, scores: Sequence[Score]) -> tuple[int | None, str]:
    """The step of the best checkpoint that is left by these scores, and how to use it."""
    on_disk = _on_disk(history)
    there = [score for score in scores if score.step in on_disk]
    best = _best(there) if there else None
    decay = ["--lr-decay linear"] if history.run.config.get("lr_decay") == "none" else []
    if best is None or best.step == scores[-1].step:
        anew = f"Train anew and keep them: {_like(history, '--set keep_every=1', *decay)}."
        return None, f"No checkpoint that scored better is left on disk. {anew}"
    which = "best" if best.step == history.best_step else str(best.step)
    left = (
        "" if best.step == _best(scores).step else f" (step {best.step}, {_value(best)}: the best that is left on disk)"
    )
    steadier = f" A rate that falls keeps more of it: {_like(history, *decay)}." if decay else ""
    return best.step, f"Draw with `--checkpoint {which}`{left}.{steadier}"


def _on_disk(history: History) -> set[int]:
    return {c.step for c in history.checkpoints if c.deleted is None}


# Words ---------------------------------------------------------------------------------------------------------------


def _calm(history: History) -> str:
    """What to do where losses blew up."""
    config = history.run.config
    # A tenth of a rate, or where that is still beyond all that is in use the paper's own.
    rates = {key: config[key] / 10 if config[key] < 0.1 else 2e-4 for key in ("lr_d", "lr_g") if config.get(key)}
    lower = [f"--{key.replace('_', '-')} {rate:.2g}" for key, rate in rates.items()]
    norm = history.told("norm")
    told = f"Lower the rates ({_now(history, 'lr_d', 'lr_g')})"
    if norm == "spectral":
        return f"{told}: {_like(history, *lower)}."
    return f"{told}, and bound D, whose norm is {norm!r}: {_like(history, *lower, '--norm spectral')}."


def _strengthen(history: History) -> str:
    """What to do where D is too weak for G."""
    config = history.run.config
    n_dis, lr_d, lr_g = (config.get(key) or 0 for key in ("n_dis", "lr_d", "lr_g"))
    n_dis, lr_d, lr_g = 5 if n_dis < 5 else 2 * n_dis, max(4 * lr_d, lr_g), lr_g / 4
    fast = "" if config.get("recipe") == "fast" else " Or train anew by `--recipe fast`, which is made for n_dis 1."
    return (
        f"Strengthen D or slow G down ({_now(history, 'n_dis', 'lr_d', 'lr_g')}): {_like(history)} with "
        f"`--n-dis {n_dis}`, `--lr-d {lr_d:.2g}` or `--lr-g {lr_g:.2g}`.{fast}"
    )


def _weaken(history: History) -> str:
    """What to do where D is too strong for G."""
    config = history.run.config
    n_dis, lr_d, norm = config.get("n_dis") or 1, config.get("lr_d") or 0, history.told("norm")
    ways = [f"`--lr-d {lr_d / 4:.2g}`"]
    if n_dis > 1:
        ways.append("`--n-dis 1`")
    bound = ""
    if norm != "spectral":
        bound = f" D's norm is {norm!r}, which lets it grow without bound."
        ways.insert(0, "`--norm spectral`")
    known = " or ".join(ways) if len(ways) < 3 else f"{ways[0]}, {ways[1]} or {ways[2]}"
    return f"Weaken D ({_now(history, 'n_dis', 'lr_d')}): {_like(history)} with {known}.{bound}"


def _like(history: History, *flags: str) -> str:
    return f"`{' '.join(['sngan train --like', history.run.id, *flags])}`"


def _now(history: History, *keys: str) -> str:
    """The run's own settings, such as `n_dis 1, lr_d 0.0002`."""
    config = history.run.config
    return ", ".join(f"{key} {config[key]:g}" for key in keys if config.get(key) is not None)


def _called(score: Score) -> str:
    """A score's name with what makes it comparable."""
    weights = score.evidence.get("generator_weights")
    return f"`{score.metric}` ({score.protocol}{f', {weights} weights' if weights else ''})"


def _value(score: Score) -> str:
    form = _form(score.value)
    return f"{score.value:{form}}" + ("" if score.std is None else f" ± {score.std:{form}}")


def _n(value: float) -> str:
    return f"{value:{_form(value)}}"


def _form(value: float) -> str:
    """How a loss or score is read: with three decimals, unless it is very small or large."""
    return ".3f" if value == 0 or 1e-3 <= abs(value) < 1e5 else ".2g"
