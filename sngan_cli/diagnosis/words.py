"""How findings and remedies are put."""

from __future__ import annotations

from sngan_cli.diagnosis.history import History
from sngan_registry import Score


def calm(history: History) -> str:
    """What to do where losses blew up."""
    config = history.run.config
    # A tenth of a rate, or where that is still beyond all that is in use the paper's own.
    rates = {key: config[key] / 10 if config[key] < 0.1 else 2e-4 for key in ("lr_d", "lr_g") if config.get(key)}
    lower = [f"--{key.replace('_', '-')} {rate:.2g}" for key, rate in rates.items()]
    norm = history.told("norm")
    told = f"Lower the rates ({settings_now(history, 'lr_d', 'lr_g')})"
    if norm == "spectral":
        return f"{told}: {like(history, *lower)}."
    return f"{told}, and bound D, whose norm is {norm!r}: {like(history, *lower, '--norm spectral')}."


def strengthen(history: History) -> str:
    """What to do where D is too weak for G."""
    config = history.run.config
    n_dis, lr_d, lr_g = (config.get(key) or 0 for key in ("n_dis", "lr_d", "lr_g"))
    n_dis, lr_d, lr_g = 5 if n_dis < 5 else 2 * n_dis, max(4 * lr_d, lr_g), lr_g / 4
    fast = "" if config.get("recipe") == "fast" else " Or train anew by `--recipe fast`, which is made for n_dis 1."
    return (
        f"Strengthen D or slow G down ({settings_now(history, 'n_dis', 'lr_d', 'lr_g')}): {like(history)} with "
        f"`--n-dis {n_dis}`, `--lr-d {lr_d:.2g}` or `--lr-g {lr_g:.2g}`.{fast}"
    )


def weaken(history: History) -> str:
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
    return f"Weaken D ({settings_now(history, 'n_dis', 'lr_d')}): {like(history)} with {known}.{bound}"


def like(history: History, *flags: str) -> str:
    """The command that trains the same with other flags."""
    return f"`{' '.join(['sngan train --like', history.run.id, *flags])}`"


def settings_now(history: History, *keys: str) -> str:
    """The run's own settings, such as `n_dis 1, lr_d 0.0002`."""
    config = history.run.config
    return ", ".join(f"{key} {config[key]:g}" for key in keys if config.get(key) is not None)


def called(score: Score) -> str:
    """A score's name with what makes it comparable."""
    weights = f", {score.generator_weights} weights" if score.generator_weights else ""
    return f"`{score.metric}` ({score.protocol}{weights})"


def value_of(score: Score) -> str:
    """A score and its standard deviation."""
    form = shortest(score.value)
    return f"{score.value:{form}}" + ("" if score.std is None else f" ± {score.std:{form}}")


def number(value: float) -> str:
    """A figure, with as many digits as say something."""
    return f"{value:{shortest(value)}}"


def shortest(value: float) -> str:
    """How a loss or score is read: with three decimals, unless it is very small or large."""
    return ".3f" if value == 0 or 1e-3 <= abs(value) < 1e5 else ".2g"
