"""Size of the base installation: a fresh virtual environment with the package and no extras, against Gymnasium's."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from benchmarks.rows import Row

TARGET_MB = 110.0
ROOT = Path(__file__).parents[1]
NOT_COUNTED = ("pip", "setuptools", "_distutils_hack", "distutils-precedence")


def run() -> list[Row]:
    ours, peer = installed_mb(str(ROOT)), installed_mb("gymnasium")
    return [Row("base installation", ours, "MB", "gymnasium alone", peer, f"<= {TARGET_MB:g} MB", ours <= TARGET_MB)]


def installed_mb(requirement: str) -> float:
    """Return the size of site-packages after installing one requirement, bytecode included, pip itself not counted."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = next(path for path in (Path(folder, "bin", "python"), Path(folder, "Scripts", "python.exe")) if path.exists())
        subprocess.run(
            [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", requirement],
            check=True,
            stdout=sys.stderr,
        )
        program = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
        packages = Path(subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.strip())
        files = (
            path
            for entry in packages.iterdir()
            if not entry.name.startswith(NOT_COUNTED)
            for path in (entry, *entry.rglob("*"))
        )
        return sum(path.stat().st_size for path in files if path.is_file()) / 1e6
