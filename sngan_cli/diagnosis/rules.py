"""The rules, the worst first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from statistics import median

from sngan_cli.diagnosis.curves import (
    average,
    beaten_stretch,
    loss_g_within,
    running_means,
    scores_within,
    stretch_where,
)
from sngan_cli.diagnosis.history import Finding, History
from sngan_cli.diagnosis.scores import best_of, better_meanwhile, checkpoint_to_use, is_better, steps_on_disk
from sngan_cli.diagnosis.thresholds import (
    ALIKE,
    ENOUGH,
    EXPLODED,
    MOSTLY,
    NAMED,
    ONE,
    PINNED,
    SEVERITY,
    TRAINED,
    UNSCORED,
    VARIETY,
    WON,
)
from sngan_cli.diagnosis.words import called, calm, like, number, strengthen, value_of, weaken
from sngan_cli.errors import is_divergence
from sngan_registry import Status


def diagnose(history: History) -> list[Finding]:
    """Say what is wrong with a run, the worst first; one finding `untold` or `healthy` where nothing is."""
    exploded = _exploded(history)
    if exploded is not None:
        return [_diverged(history) or exploded]
    rules = (_diverged, _beaten, _won, _collapsed)
    found = [finding for rule in rules if (finding := rule(history)) is not None]
    if not any(finding.kind == "collapsed" for finding in found):
        found += _alike(history)
    found += _falling(history)
    if found:
        return sorted(found, key=lambda f: SEVERITY.index("recovered" if f.is_over else f.kind))
    return [_untold(history) or _healthy(history)]


def not_looked_for(history: History) -> list[str]:
    """Say in a line each what could not be looked for, and what would change that."""
    notes = []
    if history.blind is None or history.blind <= 0:
        why = "cannot be computed here" if history.blind is None else "is not above 0 where D tells nothing apart"
        notes.append(f"Whether D was beaten or won was not looked for: the loss {history.told('loss')!r} {why}.")
    if not any(score.metric == "diversity" for score in history.scores):
        whose = "Collapse of classes" if history.told("conditional") else "Collapse"
        why = "no checkpoint is on disk to measure it by"
        if steps_on_disk(history):
            why = f"`sngan evaluate {history.run.id} --metric diversity --protocol quick` measures it"
        notes.append(f"{whose} was not looked for: {why}.")
    return notes


def _diverged(history: History) -> Finding | None:
    run, reason = history.run, history.run.reason or ""
    if run.status is not Status.FAILED or not is_divergence(reason):
        return None
    named, well = re.search(r"by step (\d+)", reason), re.search(r"all was well at step (\d+)", reason)
    step = int(named[1]) if named else run.step
    until = f"; all was well at step {well[1]}" if well else ""
    saved = max(steps_on_disk(history), default=None)
    before = f" The last checkpoint from before it is that of step {saved}." if saved else ""
    return Finding(
        "diverged",
        step,
        f"A loss or weight became NaN or infinite by step {step}{until}. Training cannot go on from there.{before}",
        calm(history),
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
        f"{whose}'s loss was {number(first.value)} at step {first.step}: weights have grown beyond all measure, and no "
        "loss or score from there on means anything.",
        calm(history),
        {first.name: first.value},
    )


def _beaten(history: History) -> Finding | None:
    stretch, blind = beaten_stretch(history), history.blind
    if stretch is None or blind is None:
        return None
    learned, proof = scores_within(history, stretch)
    floor = (1 - (UNSCORED if learned is None else PINNED)) * blind
    if learned or average([value > floor for value in stretch.values]) < MOSTLY:
        return None
    last, mean = history.curve("loss_d")[-1][0], average(stretch.values)
    is_over = stretch.until < last
    figures = {
        "loss_d": mean, "blind": blind, "recovered": stretch.until if is_over else None, "last_step": last,
    }  # fmt: skip
    is_above = mean >= (1 + PINNED) * blind
    kind = "beaten" if is_above else "pinned"
    worse = ", which is better" if is_above else ""
    stood = f"at {number(mean)} (where D tells nothing apart it is {number(blind)}{worse}){proof}"
    if is_over:
        return Finding(
            kind,
            stretch.since,
            f"From step {stretch.since} to step {stretch.until} D's loss stood {stood}. G was too strong for D, but D "
            "has recovered since.",
            f"Nothing needs to be done, unless it comes back. {strengthen(history)}",
            figures,
        )
    return Finding(
        kind,
        stretch.since,
        f"Since step {stretch.since}, and still at step {last}, D's loss has stood {stood}. G is too strong for D: D's "
        "updates teach it nothing, and such a D teaches G nothing.",
        strengthen(history),
        figures,
    )


def _won(history: History) -> Finding | None:
    curve, blind = history.curve("loss_d"), history.blind
    if blind is None or blind <= 0 or len(curve) < ENOUGH:
        return None
    stretch = stretch_where(curve, lambda value: float(value < WON * blind), lambda part: part >= MOSTLY)
    if stretch is None or stretch.until < curve[-1][0]:
        return None
    learned, proof = scores_within(history, stretch)
    if learned is None:
        learned, proof = loss_g_within(history, stretch)
    if learned is not False:
        return None
    typical = median(stretch.values)
    return Finding(
        "won",
        stretch.since,
        f"Since step {stretch.since}, and still at step {stretch.until}, D's loss has stood near 0 (by median at "
        f"{number(typical)}; where D tells nothing apart it is {number(blind)}){proof}. D tells every picture "
        "apart, and G learns nothing from such a D.",
        weaken(history),
        {"loss_d": typical, "blind": blind, "last_step": stretch.until},
    )


def _collapsed(history: History) -> Finding | None:
    series = [scores for scores in history.series() if scores[0].metric == "diversity"]
    if not series:
        return None
    weights = history.run.config.get("weights")
    last = max((s[-1] for s in series), key=lambda s: (s.step, s.generator_weights == weights))
    classes = last.evidence.get("classes")
    remedy = (
        "Look at the sheets of samples in the run's folder for an earlier checkpoint whose pictures differ more, and "
        f"train anew with more images a batch or a stronger D. {strengthen(history)}"
    )
    if not isinstance(classes, Mapping):
        if last.value >= ALIKE:
            return None
        message = (
            f"At step {last.step} pictures of G differ from one another {number(last.value)} times as much as real "
            "ones do: it draws a few, over and over."
        )
        return Finding("collapsed", last.step, message, remedy, {"diversity": last.value})
    ill = {str(k): float(v) for k, v in classes.items() if isinstance(v, int | float) and v < ALIKE}
    if not ill:
        return None
    lowest = dict(sorted(ill.items(), key=lambda item: item[1]))
    named = ", ".join(f"{name} ({number(value)})" for name, value in list(lowest.items())[:NAMED])
    more = f" and {len(lowest) - NAMED} more" if len(lowest) > NAMED else ""
    return Finding(
        "collapsed",
        last.step,
        f"At step {last.step} G draws a few pictures over and over in {len(lowest)} of {len(classes)} classes: "
        f"{named}{more}. Each figure says how many times as much they differ as real ones do.",
        remedy,
        {"diversity": last.value, "classes": lowest},
    )


def _alike(history: History) -> list[Finding]:
    found = []
    for scores in history.qualities():
        last = scores[-1]
        is_whole = last.evidence.get("truncation", "none") == "none"  # truncated latents are alike themselves
        if last.metric != "is" or last.step < TRAINED or last.value >= ONE or not is_whole:
            continue
        found.append(
            Finding(
                "alike",
                last.step,
                f"{called(last)} is {value_of(last)} at step {last.step}, where 1 is the least there is: to the "
                "classifier all pictures of G are alike.",
                "The sheets of samples in the run's folder show whether G draws a few pictures over and over, or "
                f"nothing of the data. Train anew with more images a batch or other rates: {like(history)} with larger "
                "`--batch-size` and `--g-batch-size`, or with other `--lr-d` and `--lr-g`.",
                {"metric": last.metric, "protocol": last.protocol, "last": last.value,
                 "weights": last.generator_weights},
            )
        )  # fmt: skip
    return found


def _falling(history: History) -> list[Finding]:
    found = []
    for scores in history.qualities():
        last, peak = scores[-1], best_of(scores)
        if not is_better(peak, last):
            continue
        checkpoint, remedy = checkpoint_to_use(history, scores)
        better = "more varied" if last.metric in VARIETY else "better"
        meant = f": G drew {better} pictures then than it does now"
        risen = better_meanwhile(history, peak, last)
        if risen:
            others = ", ".join(f"`{now.metric}` from {value_of(then)} to {value_of(now)}" for then, now in risen)
            meant = f". Metrics disagree, as others became better meanwhile: {others}"
            remedy = (
                "The sheets of samples in the run's folder show which to believe. "
                f"If it is `{last.metric}`: {remedy[:1].lower()}{remedy[1:]}"
            )
        figures = {
            "metric": last.metric, "protocol": last.protocol, "weights": last.generator_weights,
            "peak": peak.value, "last": last.value, "last_step": last.step, "checkpoint": checkpoint,
            "better_meanwhile": [now.metric for _, now in risen],
        }  # fmt: skip
        found.append(
            Finding(
                "falling",
                peak.step,
                f"{called(last)} was best at step {peak.step}, {value_of(peak)}, and has come to {value_of(last)} at "
                f"step {last.step}{meant}.",
                remedy,
                figures,
            )
        )
    return found


def _untold(history: History) -> Finding | None:
    readings = len(history.curve("loss_d"))
    if readings >= ENOUGH:
        return None
    times = "once" if readings == 1 else f"{readings} times"
    return Finding(
        "untold",
        history.step,
        f"Too little is known to say anything: D's loss was recorded {times} up to step {history.step}; it takes "
        f"{ENOUGH}.",
        _way_on(history),
        {"readings": readings},
    )


def _way_on(history: History) -> str:
    """How a run comes to enough readings."""
    run, readings = history.run, len(history.curve("loss_d"))
    if run.status in (Status.QUEUED, Status.RUNNING):
        return f"It is not trained to its end yet: wait, or follow it with `sngan runs watch {run.id}`."
    every = run.config.get("log_every") or 1
    enough = max(ENOUGH * every, history.step + (ENOUGH - readings) * every)
    often = "have losses recorded more often: `--set log_every=1`"
    longer = [f"--steps {enough}"] if run.steps < enough else []
    if not steps_on_disk(history):
        return f"No checkpoint is on disk to go on from. Begin again ({like(history, *longer)}), or {often}."
    command = f"`{' '.join(['sngan train --resume', run.id, *longer])}`"
    how_long = f"for {enough} steps at least" if longer else "to its end"
    return f"Train it {how_long} ({command}), or {often}."


_WHETHER_G_LEARNS = {
    True: "but scores rose meanwhile",
    False: "but tells many a batch apart",
    None: "and there are too few scores to tell whether G learns all the same",
}


def _healthy(history: History) -> Finding:
    means = running_means([value for _, value in history.curve("loss_d")])
    low, high = min(means), max(means)
    blind = "" if history.blind is None else f"; where it tells nothing apart it is {number(history.blind)}"
    said = [f"Nothing ill was found. D's loss stayed between {number(low)} and {number(high)} (running mean{blind})."]
    stretch = beaten_stretch(history)
    if stretch is not None:
        learned, _ = scores_within(history, stretch)
        said.append(f"D is hardly ahead of G, {_WHETHER_G_LEARNS[learned]}.")
    told = []
    for scores in history.qualities():
        last, peak = scores[-1], best_of(scores)
        best = "the best so far" if peak is last else f"after {value_of(peak)} at step {peak.step}"
        said.append(f"{called(last)} is {value_of(last)} at step {last.step}, {best}.")
        told.append(
            {"metric": last.metric, "protocol": last.protocol, "weights": last.generator_weights,
             "peak": peak.value, "peak_step": peak.step, "last": last.value, "last_step": last.step}
        )  # fmt: skip
    if not told:
        said.append("No score was recorded, so the losses alone speak for it.")
    figures = {"loss_d_low": low, "loss_d_high": high, "blind": history.blind, "scores": told}
    return Finding("healthy", history.step, " ".join(said), figures=figures)
