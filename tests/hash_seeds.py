"""What programs print under different PYTHONHASHSEEDs: for tests that nothing depends on the order of sets."""

from __future__ import annotations

import os
import subprocess
import sys


def outputs(program: str, seeds: tuple[str, ...] = ("1", "2")) -> set[str]:
    """Return what a program prints in fresh processes, one a seed; the same imports can be found there.

    Args:
        program: Python code.
        seeds: Values of PYTHONHASHSEED.

    Raises:
        subprocess.CalledProcessError: If it fails.
    """
    path = os.pathsep.join(filter(None, sys.path))
    return {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
            encoding="utf-8",
            timeout=300,
        ).stdout
        for seed in seeds
    }
