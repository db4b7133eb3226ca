from collections import Counter

import pytest

from palaestra.envs.vehicle.car.tables import MODULES
from tests.envs.vehicle.published_data import build, by_module, differences, trace_states

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("module", MODULES)
def test_every_published_call_comes_out_as_published(module: str) -> None:
    traces = dict(by_module("traces.jsonl.gz")).get(module)
    if not traces:
        pytest.skip(f"no traces.jsonl.gz with calls of {module} in the folders named by PALAESTRA_FIXTURES")
    worlds = {}
    wrong: Counter[str] = Counter()
    examples: list[str] = []
    for trace in traces:
        if trace["state"] not in worlds:
            worlds[trace["state"]] = build(trace_states()[trace["state"]], "published")
        result = worlds[trace["state"]].copy().call_with(module, trace["api"], (), trace["kwargs"])
        problems = differences(trace["changed"], result)
        if trace["ok"] is not None and result.ok is not trace["ok"]:
            problems.append(f"ok: expected {trace['ok']}, got {result.ok} ({result.error})")
        if problems:
            wrong[trace["api"]] += 1
            if wrong[trace["api"]] <= 3:
                examples.append(f"{trace['id']} {trace['api']}({trace['kwargs']}): {'; '.join(problems[:4])}")
    assert not wrong, f"{sum(wrong.values())} of {len(traces)} differ: {dict(wrong)}\n" + "\n".join(examples[:40])
