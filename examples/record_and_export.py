"""Record episodes with a wrapper and export them as training data."""

import json
import sys
import tempfile
from pathlib import Path

import gymnasium as gym

import palaestra  # noqa: F401  (registers palaestra/*)
from palaestra.agents import EXPORT_FORMATS, export_trajectories
from palaestra.envs import RecordTrajectory

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
env = RecordTrajectory(gym.make("palaestra/Desk-v0"))
for seed in range(5):
    env.reset(seed=seed)
    for action in env.unwrapped.expert():
        env.step(action)

for name in ("agenttraj", "sharegpt", "chat", "jsonl"):
    path = folder / f"desk-{name}{EXPORT_FORMATS[name].suffix}"
    written = export_trajectories(env.trajectories, path, name, select="success")
    print(f"{name:10} {written.num_written} episodes, {path.stat().st_size:,} bytes: {EXPORT_FORMATS[name].description}")

first = json.loads((folder / "desk-chat.jsonl").read_text(encoding="utf-8").splitlines()[0])
for message in first["messages"][1:4]:
    print(f"{message['role']}: {message.get('content') or message.get('tool_calls')}")
