"""Environments of the frameworks that we measure ourselves against.

`python -m bench.peers` makes one for each under `$ANTIPHON_BENCH_ENVS` (default `.cache/peers`) and says which are there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .measurement import ROOT

# What each environment holds, pinned so that numbers of two runs compare.
PACKAGES = {
    "livekit": ["livekit-agents==1.8.9", "livekit-plugins-silero==1.8.9"],
    "pipecat": ["pipecat-ai[silero]==1.14.0"],
}


def folder() -> Path:
    return Path(os.environ.get("ANTIPHON_BENCH_ENVS") or ROOT / ".cache" / "peers")


def available() -> dict[str, Path]:
    """The interpreters of the environments that are there, by framework."""
    found = {name: folder() / name / "bin" / "python" for name in PACKAGES}
    return {name: python for name, python in found.items() if (folder() / name / ".complete").exists()}


def install() -> dict[str, str]:
    """Make the environments that are missing.

    Returns:
        Why a framework cannot be had, by framework; empty when all are there.
    """
    failures = {}
    for name, packages in PACKAGES.items():
        marker = folder() / name / ".complete"
        if marker.exists() and marker.read_text().split() == packages:
            continue
        print(f"installing {' '.join(packages)} into {folder() / name}", file=sys.stderr)
        made = subprocess.run(
            [sys.executable, "-m", "venv", str(folder() / name)], capture_output=True, text=True
        )
        if made.returncode:
            failures[name] = made.stderr.strip().splitlines()[-1]
            continue
        pip = [str(folder() / name / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages]
        installed = subprocess.run(pip, capture_output=True, text=True)
        if installed.returncode:
            failures[name] = (installed.stderr.strip().splitlines() or ["pip failed"])[-1]
            continue
        marker.write_text("\n".join(packages))
    return failures


def main() -> int:
    failures = install()
    for name, python in available().items():
        print(f"{name}: {python}")
    for name, why in failures.items():
        print(f"{name}: cannot be had, so it will be missing from the tables: {why}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
