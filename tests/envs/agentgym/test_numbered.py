"""Published ids that count without gaps."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.agentgym.numbered import NumberedAliases


@given(st.integers(1, 10**6), st.integers(0, 2 * 10**6))
def test_each_number_below_the_size_leads_to_its_key(size, number):
    aliases = NumberedAliases("upstream", size, "list/{}")
    alias = f"upstream#{number}"
    assert (alias in aliases) == (number < size)
    assert aliases.get(alias) == (f"list/{number}" if number < size else None)
    assert len(aliases) == size


def test_what_is_not_such_an_id_leads_nowhere():
    aliases = NumberedAliases("upstream", 3, lambda number: f"level/{number % 2}")
    for name in ("upstream#03", "upstream#-1", "upstream", "other#1", "upstream#1 ", 1, "#1"):
        assert name not in aliases
        with pytest.raises(KeyError):
            aliases[name]
    assert dict(aliases) == {"upstream#0": "level/0", "upstream#1": "level/1", "upstream#2": "level/0"}
    assert dict(pickle.loads(pickle.dumps(NumberedAliases("a", 2, "k/{}")))) == {"a#0": "k/0", "a#1": "k/1"}
