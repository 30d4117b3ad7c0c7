"""Makes the recorded runs in `runs/`, on which the rules of `sngan runs doctor` are tested.

    python tests/data/record_runs.py [--home FOLDER] [NAME ...]

Every run is trained by the command below, on the CPU (all of them for about a quarter of an hour on one core), in a
registry of its own, or that of FOLDER, where a run that is there already by its name is not trained again. What the
registry holds of it is then written to `runs/NAME.json`: losses (at most 400 points of each), scores, checkpoints and
events, but neither host nor paths.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sngan_registry import Run, RunNotFoundError, Store

RUNS = Path(__file__).parent / "runs"
POINTS = 400

SMALL = (
    "--dataset shapes --size 8 --arch standard --set arch.width=0.125 --batch-size 16 --g-batch-size 16 --ema 0 "
    "--eval-samples 1000 --checkpoint-every 0 --device cpu "
)
DEMO = (  # those of docs/demo.py
    "--dataset shapes --conditional --size 16 --arch standard --set arch_g.width=0.5 --set arch_d.width=0.25 --n-dis 1 "
    "--batch-size 32 --g-batch-size 32 --ema 0.998 --set weights=averaged --eval-samples 1000 --checkpoint-every 0 "
    "--device cpu "
)
NARROW = (
    "--dataset shapes --size 8 --set arch.width=0.125 --set eval_samples=100 --n-dis 1 --batch-size 16 "
    "--g-batch-size 16 --eval-every 0 --set log_every=1 --steps 600 --device cpu"
)
BEATEN = "--n-dis 1 --lr-g 2e-3 --lr-d 1e-5 --steps 2000 --eval-every 250"
MEMORY = (  # a D without bounds that knows its 50 pictures by heart
    "--norm none --n-dis 5 --lr-g 2e-4 --lr-d 2e-3 --beta1 0.5 --set dataset.images=50 --steps 2000 --eval-every 250"
)
DIVERSITY = "--set metrics.diversity={}"
COMMANDS = {
    "healthy": f"{DEMO} --lr-g 1e-3 --lr-d 2e-3 --steps 3000 --eval-every 300",
    "pinned-hinge": f"{SMALL} {BEATEN}",
    "pinned-cross-entropy": f"{SMALL} {BEATEN} --loss cross-entropy",
    "slow-d": f"{DEMO} --lr-g 2e-3 --lr-d 2e-4 --steps 1500 --eval-every 250",
    "beaten": f"{NARROW} --lr-d 1e-5 --lr-g 2e-3",
    "even": f"{NARROW} --recipe fast --lr 1e-3",
    "won-hinge": f"{SMALL} {MEMORY}",
    "won-unscored": f"{SMALL} {MEMORY.replace('--eval-every 250', '--eval-every 0')}",
    "won-cross-entropy": f"{SMALL} {MEMORY} --loss cross-entropy",
    "reused-fakes": f"{DEMO} --lr-g 1e-3 --lr-d 2e-3 --lr-decay none --set fakes=reused --steps 3000 --eval-every 300",
    "diverged": f"{SMALL} --n-dis 1 --norm none --lr 1 --beta1 0.9 --beta2 0.5 --steps 700 --eval-every 50",
    "exploded": f"{SMALL} --n-dis 1 --norm none --norm-g none --lr 10 --steps 2000 --eval-every 250",
    "short": f"{SMALL} --n-dis 1 --steps 100 --eval-every 50",
    "collapsed": f"{SMALL} --conditional {BEATEN} {DIVERSITY}",
    "varied": f"{DEMO} --lr-g 1e-3 --lr-d 2e-3 --steps 1000 --eval-every 250 {DIVERSITY}",
}
"""What `sngan train` was given for each run."""


def record(name: str) -> dict[str, Any]:
    """Train a run, unless the registry has one of this name; returns what the registry holds of it."""
    with Store.open(Path(os.environ["SNGAN_HOME"]) / "registry.db") as store:
        try:
            run = store.get(name)
        except RunNotFoundError:
            command = [sys.executable, "-m", "sngan_cli", "train", *shlex.split(COMMANDS[name]), "--name", name]
            code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
            if code not in (0, 5):  # 5: it diverged, as one of them is to
                raise SystemExit(f"{name} ended with exit code {code}") from None
            run = store.get(name)
        return exported(store, run)


def exported(store: Store, run: Run) -> dict[str, Any]:
    """What the registry holds of a run, as plain values: no host, no path, no time."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for scalar in store.scalars(run.id):
        curves.setdefault(scalar.name, []).append((scalar.step, float(f"{scalar.value:.6g}")))
    return {
        "id": run.id,
        "name": run.name,
        "status": run.status,
        "reason": run.reason,
        "config": run.config,
        "step": run.step,
        "steps": run.steps,
        "scalars": {name: points[:: -(-len(points) // POINTS)] for name, points in curves.items()},
        "scores": [
            {key: value for key, value in vars(score).items() if key != "created"} for score in store.scores(run.id)
        ],
        "checkpoints": [{"step": c.step, "deleted": c.deleted is not None} for c in store.checkpoints(run.id)],
        "events": [{"step": e.step, "kind": e.kind, "message": e.message} for e in store.events(run.id)],
    }


def written(value: dict[str, Any]) -> str:
    """A run as JSON, a line for each of its parts."""
    parts = [f"{json.dumps(key)}: {json.dumps(part)}" for key, part in value.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Record the runs that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(COMMANDS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SNGAN_HOME"] = str(given.home or folder)
        os.environ.pop("SNGAN_REGISTRY", None)
        RUNS.mkdir(exist_ok=True)
        for name in given.names or COMMANDS:
            (RUNS / f"{name}.json").write_text(written(record(name)), encoding="utf-8")
            print(f"runs/{name}.json")


if __name__ == "__main__":
    main()
