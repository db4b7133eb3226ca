"""Published tools: every oracle call gives its stored output, and CPython and monty agree."""

import json
import os

import pytest

from palaestra.envs.sandbox import Sandbox
from tests.fixtures import need_rows

KNOWN = {"monty": set(), "process": set(), "auto": set()}
"""Calls whose output differs, as "id/tool", with the reason in `docs/sandbox.md`."""


def published(result):
    """Return a result as the published scorer writes it: dicts and lists as JSON, everything else by `str`."""
    if not result.ok:
        return result.status
    value = result.value()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)


@pytest.mark.parity
@pytest.mark.parametrize("executor", ["auto", "process"])
def test_every_oracle_call_gives_its_stored_output(executor, missing):
    for needed in {"auto": ("monty", "process"), "process": ("process",)}[executor]:
        if needed in missing:
            pytest.skip(missing[needed])
    codes = {row["id"]: json.loads(row["codes"]) for row in need_rows("ftrl/test.jsonl")}
    wrong, count, ran = [], 0, set()
    with Sandbox(executor, timeout_s=60, output_chars=1_000_000) as sandbox:
        for row in need_rows("ftrl/oracle_calls.jsonl"):
            for call in row["calls"] if row["id"] in codes else ():
                program = sandbox.load(codes[row["id"]][call["tool"]])
                result = program.call(call["tool"], call["arguments"])
                program.close()
                count += 1
                ran.add(result.executor)
                key = f"{row['id']}/{call['tool']}"
                if published(result) != call["output"] and key not in KNOWN[executor]:
                    wrong.append((key, call["arguments"], result, call["output"]))
    assert wrong == []
    assert count > 0
    assert ran == ({"monty", "process"} if executor == "auto" else {"process"})
    if os.environ.get("SHOW_COUNTS"):
        print(executor, count)
