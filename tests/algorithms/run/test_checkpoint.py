from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from palaestra.algorithms.run.checkpoint import Checkpoints
from palaestra.errors import StoreError


def write_policy(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(os.urandom(4096))


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "grpo")
    assert checkpoints.latest() is None
    state = {"adam": {"m": torch.arange(3.0)}, "updates": 7, "names": ["a"]}
    checkpoints.save(4, save_policy=write_policy, state=state, config={"lr": 0.1}, finished=True)
    found = checkpoints.latest()
    assert found is not None
    assert (found.step, found.finished, found.config) == (4, True, {"lr": 0.1})
    assert torch.equal(found.state()["adam"]["m"], torch.arange(3.0))
    assert (found.policy_path / "weights.bin").stat().st_size == 4096


def test_only_the_newest_are_kept_and_drafts_are_swept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    (tmp_path / ".draft-000001-999").mkdir()
    for step in range(5):
        checkpoints.save(step, save_policy=write_policy, state={})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000003", "step-000004"]


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for value in (1, 2):
        checkpoints.save(3, save_policy=write_policy, state={"value": value})
    found = checkpoints.latest()
    assert found is not None
    assert found.state()["value"] == 2


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "no manifest", "half manifest"])
def test_a_damaged_checkpoint_is_passed_over_with_a_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, save_policy=write_policy, state={"value": step})
    newest = tmp_path / "step-000002"
    weights, manifest = newest / "policy" / "weights.bin", newest / "manifest.json"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:100])
    elif damage == "changed":
        weights.write_bytes(bytes(4096))
    elif damage == "missing":
        (newest / "state.pt").unlink()
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text()[:50])
    with caplog.at_level(logging.WARNING):
        found = checkpoints.latest()
    assert found is not None
    assert found.state()["value"] == 1
    assert "step-000002 is damaged" in caplog.text
    assert "falling back" in caplog.text


def test_a_newer_format_is_not_read_as_if_it_were_ours(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, save_policy=write_policy, state={})
    manifest = tmp_path / "step-000001" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with caplog.at_level(logging.WARNING):
        assert checkpoints.latest() is None
    assert "format 99, expected 1" in caplog.text


@pytest.mark.parametrize(
    "refusal",
    [
        OSError(28, "No space left on device"),
        SafetensorError("I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:672] PytorchStreamWriter failed writing file"),
    ],
    ids=["Python", "safetensors", "torch"],
)
def test_a_disk_that_refuses_is_one_clear_error_and_costs_nothing(tmp_path: Path, refusal: Exception) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, save_policy=write_policy, state={"value": 1})

    def full(folder: Path) -> None:
        write_policy(folder)
        raise refusal

    with pytest.raises(StoreError, match=r"could not be written: .*Free space"):
        checkpoints.save(2, save_policy=full, state={})
    found = checkpoints.latest()
    assert found is not None
    assert found.step == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]  # a full disk has its room back


def test_what_is_no_fault_of_the_disk_is_told_as_it_is(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(KeyError):
        checkpoints.save(1, save_policy=lambda folder: {}["missing"], state={})
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_are_ordered_by_number(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    (tmp_path / "step-by-step").mkdir()  # a name of somebody else's
    for step in (999_998, 999_999, 1_000_000, 1_000_001):
        checkpoints.save(step, save_policy=write_policy, state={})
        found = checkpoints.latest()
        assert found is not None
        assert found.step == step
    kept = sorted(path.name for path in tmp_path.glob("step-*"))
    assert kept == ["step-1000000", "step-1000001", "step-by-step"]
    checkpoints.forget(after=1_000_000)
    assert [path.name for path in sorted(tmp_path.glob("step-1*"))] == ["step-1000000"]


def test_a_checkpoint_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, ("true",)

    checkpoints = Checkpoints(tmp_path)
    found = checkpoints.save(1, save_policy=write_policy, state={"bomb": Bomb()})
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        found.state()


def test_killed_at_any_instant_the_newest_whole_checkpoint_is_found(tmp_path: Path) -> None:
    writer = textwrap.dedent(
        f"""
        from palaestra.algorithms.run.checkpoint import Checkpoints
        checkpoints = Checkpoints({str(tmp_path)!r})
        print("ready", flush=True)
        for step in range(100000):
            checkpoints.save(step, save_policy=lambda p: (p / "w").write_bytes(bytes(2**18)), state={{"step": step}})
        """
    )
    process = subprocess.Popen([sys.executable, "-c", writer], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    steps = [int(path.name.removeprefix("step-")) for path in tmp_path.glob("step-*")]
    found = Checkpoints(tmp_path).latest()
    assert found is not None
    assert found.step == max(steps)
    assert found.state()["step"] == found.step
