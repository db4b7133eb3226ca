"""Joins against trying out everything."""

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.agentgym.alfworld.engine.facts import Facts
from palaestra.envs.agentgym.alfworld.engine.formulas import Literal
from palaestra.envs.agentgym.alfworld.engine.joins import Join

KINDS = {"a": "cup", "b": "cup", "c": "pot", "d": "pot"}
PREDICATES = {"in": 2, "on": 2, "hot": 1}
ARGUMENTS = st.sampled_from(("?x", "?y", "?z", "a", "c"))
LITERALS = st.one_of(
    st.tuples(st.booleans(), st.just("in"), st.tuples(ARGUMENTS, ARGUMENTS)),
    st.tuples(st.booleans(), st.just("on"), st.tuples(ARGUMENTS, ARGUMENTS)),
    st.tuples(st.booleans(), st.just("hot"), st.tuples(ARGUMENTS)),
    st.tuples(st.booleans(), st.just("="), st.tuples(ARGUMENTS, ARGUMENTS)),
).map(lambda parts: Literal(*parts))
STATES = st.sets(
    st.one_of(
        st.tuples(st.sampled_from(("in", "on")), st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd"))),
        st.tuples(st.just("hot"), st.tuples(st.sampled_from("abcd"))),
    ),
    max_size=14,
)
TYPES = st.fixed_dictionaries({name: st.sampled_from(("cup", "pot", "object", "none")) for name in ("?x", "?y", "?z")})


def members(kind: str) -> frozenset[str]:
    return frozenset(thing for thing, own in KINDS.items() if kind in (own, "object"))


@settings(max_examples=200)
@given(st.lists(LITERALS, max_size=4), STATES, STATES, TYPES)
def test_a_join_finds_what_trying_everything_finds(literals, at_load, later, types):
    variables = sorted(types.items())
    join = Join(variables, literals, Facts(at_load, PREDICATES), members)
    facts = Facts(later, PREDICATES)
    found = sorted(tuple(row[join.slots[name]] for name, _ in variables) for row in join.solutions(facts))
    expected = []
    for values in product(*[sorted(members(kind)) for _, kind in variables]):
        bound = dict(zip([name for name, _ in variables], values, strict=True))
        ground = [(sign, name, tuple(bound.get(a, a) for a in of)) for sign, name, of in literals]
        if all(((of[0] == of[1]) if name == "=" else (name, of) in later) == sign for sign, name, of in ground):
            expected.append(values)
    assert found == expected


@given(STATES, st.lists(st.tuples(st.booleans(), st.sampled_from("abcd"), st.sampled_from("abcd")), max_size=12))
def test_the_index_follows_every_change_and_copies_change_alone(start, changes):
    facts = Facts(start, ["in"])
    twin = facts.copy()
    for is_added, first, second in changes:
        (facts.add if is_added else facts.delete)("in", (first, second))
        assert ((first, second) in facts.of("in")) == is_added
        assert ((first, second) in facts.deleted.get("in", ())) != is_added
    for position in (0, 1):
        for thing in "abcd":
            assert facts.with_argument("in", position, thing) == {pair for pair in facts.of("in") if pair[position] == thing}
    assert {(name, of) for name in PREDICATES for of in twin.of(name)} == start
    assert not any(twin.deleted.values())
    assert facts.of("on") is twin.of("on")  # what never changes is shared
