"""The demo of `make demo`: trains a small conditional GAN on drawn shapes, scores it, and draws what it learned.

    python docs/demo.py [FOLDER]

Everything is left in FOLDER (by default `demo`): its own registry, and two pictures.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

SETTINGS = shlex.split(
    "--dataset shapes --conditional --size 16 --arch standard --set arch_g.width=0.5 --set arch_d.width=0.25 "
    "--n-dis 1 --batch-size 32 --g-batch-size 32 --lr-g 1e-3 --lr-d 2e-3 --ema 0.998 --set weights=averaged "
    "--eval-every 2000 --eval-samples 5000 --device cpu --precision fp32"
)


def sngan(*arguments: str) -> str:
    """Show a command and run it; returns what it prints on stdout."""
    print(f"\n$ sngan {shlex.join(arguments)}", flush=True)
    command = [sys.executable, "-m", "sngan_cli", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def main() -> None:
    """Train, draw, and print the registry."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["SNGAN_HOME"] = str((folder / "home").absolute())
    os.environ.pop("SNGAN_REGISTRY", None)
    sngan("train", *SETTINGS, "--steps", "0", "--name", "untrained")
    begun = time.monotonic()
    run = sngan("train", *SETTINGS, "--steps", "5500", "--name", "trained").strip()
    minutes = (time.monotonic() - begun) / 60
    samples, paths = str(folder / "samples.png"), str(folder / "interpolation.png")
    sngan("sample", run, "-n", "100", "--scale", "4", "-o", samples)
    sngan("interpolate", run, "--scale", "4", "-o", paths)
    print(sngan("runs", "list", "--sort", "is"))
    print(f"Trained for {minutes:.1f} minutes. One class a row: {samples}. Paths between latents: {paths}.")


if __name__ == "__main__":
    main()
