from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.report.transcripts import Candidate, spread

_candidates = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["a", "b"]), st.sampled_from(["success", "failure", "error"])), max_size=60
)


@given(_candidates)
def test_a_spread_is_a_reordering_and_begins_with_every_group(drawn):
    candidates = [Candidate(arm, i, "run", str(i), kind, outcome) for i, (arm, kind, outcome) in enumerate(drawn)]
    order = spread(candidates)
    assert sorted(order, key=lambda c: c.position) == candidates
    groups = {(c.arm, c.task_type, c.outcome) for c in candidates}
    assert {(c.arm, c.task_type, c.outcome) for c in order[: len(groups)]} == groups


@given(st.integers(1, 200))
def test_the_first_and_the_last_of_a_group_come_first(n):
    order = spread([Candidate(0, i, "run", str(i), "", "success") for i in range(n)])
    assert order[0].position == 0
    assert n == 1 or order[1].position == n - 1
    assert sorted(c.position for c in order) == list(range(n))
