from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.inspect_python import inspect_python

FOLDER = Path(__file__).parents[2] / "examples"
MOST_LINES = 90  # a screen or so

SAYS = {
    "make_an_env.py": [r"solved: True reward: 1\.0", "a wrong action is an observation", "eight at once: 8 observations"],
    "write_an_env.py": ["That is it", r"(\d+) of \1 checks passed"],
    "write_a_command_world.py": [
        r"react\nThought:\nThe \w+ dial has to show \d.\n\nAction:\nturn (left|right) \d\n=> The",
        r'json\n\{"thought": .*"function_name": "turn".*\n=> The',
        r"code\n```python\n# The .*\nturn\(.*\)\n```\n=> The",
        r"invalid_arguments: Error: turn was not run: argument 'clicks' is 7",
        r"ok: The left dial stands at \d",
        r"(\d+) of \1 checks passed",
    ],
    "add_a_tool.py": [
        r"ok +The hall is at 22",
        r"invalid_arguments Error: .*did you mean 'degrees'",
        r"attic has no heating.* \[now 22\]",
    ],
    "tools_from_data.py": [
        r"\['home_of', 'dish_of'\] Which dish.*\ninvalid_arguments: .* is 3; expected a string .*\nerror: .*not_found",
        r"\['home_of', 'tower_of'\] Which tower",
        r"solved: True\nsampled: <tool_call>",
        r"(\d+) of \1 checks passed",
    ],
    "play_with_an_llm_api.py": [r"solved: True \| \d+ calls"],
    "evaluate_an_agent.py": [r"random +success 0%", r"expert +success 100%", r"report: .*report\.html"],
    "record_and_export.py": [r"agenttraj +5 episodes", r"sharegpt +5 episodes", r"chat +5 episodes", r"jsonl +5 episodes"],
    "noisy_rewards.py": [r"rate 0\.0: solved pay 1\.00, failed 0\.00, signal 1\.00", r"rate 0\.5: .* signal -?0\.[01]"],
    "inject_errors.py": [
        r"outage, expert:\n   rate_limit -> Error: .*\n   recovered 100% of 20",
        r"slip, gives up:\n.*\n   recovered 0% of 20: \{'interruption': 20\}",
    ],
    "vehicle_world.py": [
        r"fc +scripted score 1\.00 +accuracy 1\.00 +[1-9]\d* calls, 0 writes",
        r"sfc +scripted score 1\.00 +accuracy 1\.00 +0 calls, [1-9]\d* writes",
        r"hybrid +expert +score 1\.00",
        r"nothing +score 0\.",
        r"changes\n  \w+\..+: .+ -> ",
        r"249 tools",
        r'"environment.volume":25',
    ],
    "inspect_ai_model.py": [r"success: Estimate\(mean=0\.0, .*n=8\)\nerrors: \{\} \| 16 calls, 1280 tokens read"],
    "inspect_ai_task.py": [
        r"success \{'success': \[1\.0, 0\.0\], 'return': \[1\.0, 0\.0\]\}",
        r"10 samples; \['system', 'user', 'assistant', 'tool'",
    ],
    "two_llm_seats.py": [
        r"asker +Is it an animal\?\nanswerer +(Yes|No)\.",
        r"found: True \| metrics: \{'questions'",
        r"answerer-model: (\d+) answers, \1 calls, reward 1\.00",
    ],
    "train_with_trl.py": [
        r"sft: loss [3-9]\.\d+ to 0\.\d+",
        r"grpo on rollouts: mean rewards (\d\.\d\d(, )?){3}",
        r"grpo with tools: craft, get, inventory; 1 update",
    ],
    "grpo_in_the_open.py": [r"step 1: mean reward 0\.[0-1]", r"step 40: mean reward 0\.[4-9]"],
    "train_grpo_on_a_toy.py": [r"before: +success \d%", r"after: +success [3-9]\d%"],
}


def test_every_example_is_tested_and_fits_a_screen():
    assert {path.name for path in FOLDER.glob("*.py")} == set(SAYS)
    for path in FOLDER.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES, path.name


@pytest.mark.parametrize("name", sorted(SAYS))
def test_an_example_runs_without_a_key_or_a_gpu(name, tmp_path):
    env = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    command = [sys.executable, "-W", "error", str(FOLDER / name)]
    if name.startswith("inspect_ai"):  # which leaves streams open, and is mostly installed elsewhere
        command = [inspect_python(), str(FOLDER / name)]
        env["PYTHONPATH"] = os.pathsep.join([str(FOLDER.parent), env.get("PYTHONPATH", "")])
    options = {"capture_output": True, "text": True, "timeout": 170, "cwd": tmp_path, "check": False}
    done = subprocess.run(command, env={**env, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}, **options)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    for pattern in SAYS[name]:
        assert re.search(pattern, done.stdout), (pattern, done.stdout[-3000:])
