"""Evaluate agents on test tasks, keep every episode, compare them, and write a report to look at."""

import sys
import tempfile
from pathlib import Path

from palaestra import RunStore, evaluate, make_agent, write_report
from palaestra.agents import compare

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
with RunStore(folder) as store:
    for name in ("random", "expert"):  # or any model string: "openai:MODEL", "http://HOST:PORT/v1#MODEL", "hf:PATH"
        result = evaluate("palaestra/TextCraft-v0", make_agent(name), n=20, store=store, run_id=name)
        success = result.summary.success
        print(f"{name:8} success {success.mean:.0%}, 95 % interval {success.low:.0%} to {success.high:.0%}")
        for task_type, group in result.summary.by_type.items():
            print(f"  {task_type}: {group.success.mean:.0%} of {group.num_episodes}")

    # the same call again finds every episode in the store and plays none of them
    assert evaluate("palaestra/TextCraft-v0", make_agent("expert"), n=20, store=store, run_id="expert").status == "finished"

    gain = compare(store.episodes("expert"), store.episodes("random"))
    print(f"expert over random, task by task: {gain.mean:+.0%} ({gain.low:+.0%} to {gain.high:+.0%}) on {gain.n} tasks")
    print("report:", write_report(folder / "report.html", ["random", "expert"], store=store))
