"""Formulas in disjunctive normal form."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.agentgym.alfworld.engine.errors import GameFileError
from palaestra.envs.agentgym.alfworld.engine.formulas import clauses_of, typed_names

THINGS = ("a", "b")
ATOMS = st.tuples(st.sampled_from(("p", "q")), st.sampled_from(("?x", "?y", *THINGS))).map(list)
BASE = st.one_of(ATOMS, ATOMS.map(lambda atom: ["not", atom]), st.just([]))
FORMULAS = st.recursive(
    BASE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: ["and", *parts]),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: ["or", *parts]),
        st.tuples(st.sampled_from(("?x", "?y")), inner).map(lambda pair: ["exists", [pair[0], "-", "thing"], pair[1]]),
    ),
    max_leaves=6,
)


def holds(formula, facts, bound) -> bool:
    """Whether a formula holds, by its definition."""
    if not formula:
        return True
    match formula[0]:
        case "and":
            return all(holds(part, facts, bound) for part in formula[1:])
        case "or":
            return any(holds(part, facts, bound) for part in formula[1:])
        case "not":
            return not holds(formula[1], facts, bound)
        case "exists":
            return any(holds(formula[2], facts, {**bound, formula[1][0]: thing}) for thing in THINGS)
    return (formula[0], bound.get(formula[1], formula[1])) in facts


@given(FORMULAS, st.sets(st.tuples(st.sampled_from(("p", "q")), st.sampled_from(THINGS))))
def test_clauses_hold_exactly_where_the_formula_does(formula, facts):
    for x, y in product(THINGS, repeat=2):
        bound = {"?x": x, "?y": y}
        found = any(
            any(
                all(
                    (((sign, name, of) and (name, {**bound, **extra}.get(of[0], of[0])) in facts) == sign)
                    for sign, name, of in clause.literals
                )
                for values in product(THINGS, repeat=len(clause.variables))
                for extra in [dict(zip([name for name, _ in clause.variables], values, strict=True))]
            )
            for clause in clauses_of(formula)
        )
        assert found == holds(formula, facts, bound)


def test_a_comma_belongs_to_the_type_before_it():
    assert typed_names(["?l", "-", "location,", "?r", "-", "receptacle", "?x"]) == [
        ("?l", "location,"),
        ("?r", "receptacle"),
        ("?x", "object"),
    ]


@pytest.mark.parametrize(
    ("formula", "problem"),
    [
        (["forall", ["?x"], ["p", "?x"]], "'forall' is not supported"),
        (["imply", ["p", "a"], ["q", "a"]], "'imply' is not supported"),
        (["not", ["and", ["p", "a"]]], "'and' is not supported in this place"),
        (["not", ["p", "a"], ["q", "a"]], "negates other than one atom"),
        (["=", "a"], "compares other than two things"),
        (["exists", "?x"], "is not of the form"),
        (["exists", [["?x"]], ["p", "?x"]], "stands where a name is expected"),
        ([["p"]], "is not an atom"),
        ("p", "is not an atom"),
        (["and", *([["or", ["p", "a"], ["q", "a"]]] * 12)], "more than 500 alternatives"),
        (["or", *([["p", "a"]] * 501)], "more than 500 alternatives"),
    ],
)
def test_what_is_not_supported_is_refused(formula, problem):
    with pytest.raises(GameFileError, match=problem):
        clauses_of(formula)


@pytest.mark.parametrize("head", [["and"], ["or"], ["exists", ["?x"]]])
def test_nested_formulas_have_a_limit(head):
    formula = ["p", "a"]
    for _ in range(5000):
        formula = [*head, formula]
    with pytest.raises(GameFileError, match="more than 100 levels"):
        clauses_of(formula)
