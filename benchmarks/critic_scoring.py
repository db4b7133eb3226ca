"""CriticTool: 10,000 replies scored by either profile, texts compared by their words, and 1,000 items made harder."""

from __future__ import annotations

import json
import time

from benchmarks.rows import Row
from palaestra.envs.critic import evolve_all, score
from palaestra.envs.critic.documents import PROFILES
from palaestra.envs.critic.generate import make_record

NUM_REPLIES = 10_000
NUM_ITEMS = 1_000
LIMIT_S = 5.0
EVOLVE_LIMIT_S = 20.0


def run() -> list[Row]:
    """Time the replies of agents that are right, name another error, or change a value; then evolution of the items."""
    records = [make_record("internal", "test", index) for index in range(NUM_ITEMS)]
    replies = []
    for number in range(NUM_REPLIES):
        record = records[number % NUM_ITEMS]
        golden = record.golden
        assert golden is not None
        args = dict(golden.args) if isinstance(golden.args, dict) else {}
        if number % 3 == 2:
            args |= {name: f"{value} {number}" for name, value in args.items() if isinstance(value, str)}
        label = record.label if number % 3 else "parameters_key_error"
        replies.append((record, json.dumps({"error": label, "name": golden.name, "args": args})))
    rows = []
    for profile in PROFILES:
        begin = time.process_time()
        for record, text in replies:
            score(record, [text], "internal", profile=profile)
        seconds = time.process_time() - begin
        name = f"scoring {NUM_REPLIES:,} replies of CriticTool, profile {profile}"
        rows.append(Row(name, seconds, "s", "floor", LIMIT_S, f"<= {LIMIT_S:g} s", seconds <= LIMIT_S))
    begin = time.process_time()
    num_made = len(evolve_all(records).records)
    seconds = time.process_time() - begin
    is_kept = seconds <= EVOLVE_LIMIT_S and num_made == NUM_ITEMS
    name = f"{num_made:,} items of CriticTool made harder, ways mixed"
    return [*rows, Row(name, seconds, "s", "floor", EVOLVE_LIMIT_S, f"<= {EVOLVE_LIMIT_S:g} s", is_kept)]


if __name__ == "__main__":
    print(*run(), sep="\n")
