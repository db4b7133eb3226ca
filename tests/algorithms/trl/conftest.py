from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from palaestra.algorithms.trl.trainers import isolated_random_state

# accelerate collects garbage after every run of a trainer; what is imported by now need not be looked at each time
gc.freeze()

# what TRL cannot do without in tests on the CPU
QUIET: dict[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "activation_checkpointing": False,
    "report_to": "none",
    "save_strategy": "no",
    "logging_steps": 1,
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
    "log_level": "error",
}


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Settings for a trainer in a test, with the global random state given back afterwards."""
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    with isolated_random_state():
        yield {**QUIET, "output_dir": str(tmp_path / "out")}
