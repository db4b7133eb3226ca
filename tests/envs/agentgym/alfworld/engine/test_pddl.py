"""Reading domains and problems."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.agentgym.alfworld.engine.errors import GameFileError
from palaestra.envs.agentgym.alfworld.engine.pddl import read_domain, read_problem

DOMAIN = """
(define (domain d) ; a comment (with brackets
 (:types place thing - object cup - thing)
 (:constants Pot - thing)
 (:predicates (at ?x - thing ?p - place) (hot ?x - thing))
 (:functions (total-cost) - number)
 (:action Carry :parameters (?x - thing ?p ?q - place)
  :precondition (and (at ?x ?p) (or (hot ?x) (not (hot ?x))))
  :effect (and (not (at ?x ?p)) (at ?x ?q) (increase (total-cost) 1) (when (hot ?x) (not (hot ?x))))))
"""
PROBLEM = """
(define (problem p) (:domain d) (:objects A B - place C1 - cup)
 (:init (= (total-cost) 0) (at C1 A) (at C1 A) (seen C1) (= (distance A B) 7))
 (:goal (exists (?x - thing) (at ?x B))) (:metric minimize (total-cost)))
"""


def test_a_domain_is_read_in_small_letters():
    domain = read_domain(DOMAIN)
    assert domain.predicates == {"at": 2, "hot": 1}
    assert domain.constants == (("pot", "thing"),)
    assert domain.below("thing") == {"thing", "cup"}
    assert domain.below("object") == {"object", "place", "thing", "cup"}
    carry = domain.actions["carry"]
    assert carry.parameters == (("?x", "thing"), ("?p", "place"), ("?q", "place"))
    assert len(carry.clauses) == 2
    assert [(bool(e.condition), e.is_positive, e.predicate) for e in carry.effects] == [
        (False, False, "at"),
        (False, True, "at"),
        (True, False, "hot"),
    ]


def test_a_problem_is_read_without_costs_and_keeps_unknown_facts_apart():
    problem = read_problem(PROBLEM, read_domain(DOMAIN))
    assert problem.types == {"pot": "thing", "a": "place", "b": "place", "c1": "cup"}
    assert problem.facts == (("at", ("c1", "a")), ("seen", ("c1",)))
    assert problem.unknown == {"seen"}
    assert len(problem.goal) == 1


@given(st.integers(1, len(PROBLEM.rstrip()) - 1))
def test_a_problem_that_is_cut_off_is_refused(end):
    with pytest.raises(GameFileError):
        read_problem(PROBLEM.rstrip()[:end], read_domain(DOMAIN))


@given(st.integers(1, len(DOMAIN.rstrip()) - 1))
def test_a_domain_that_is_cut_off_is_refused(end):
    with pytest.raises(GameFileError):
        read_domain(DOMAIN.rstrip()[:end])


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("(at ?x ?p) (or", "(inside ?x ?p) (or", "the action carry names 'inside', which is not a predicate"),
        ("(at ?x ?q)", "(gone ?x)", "the action carry names 'gone', which is not a predicate"),
        ("(when (hot ?x)", "(when (cold ?x)", "names 'cold'"),
        ("(at ?x ?q)", "(at ?x)", "gives 'at' 1 arguments; the domain declares 2"),
        ("(at ?x ?q)", "(at ?x ?z)", r"uses \?z, which is not one of its parameters"),
        ("(when (hot ?x)", "(when (or (hot ?x) (hot ?x))", "not supported in the condition of an effect"),
        ("(at ?x ?q)", "(forall (?y - place) (at ?x ?y))", "'forall' is not supported"),
        ("(:action Carry", "(:deed Carry", "the domain has no actions"),
        ("(:predicates (at", "(:predicates at (at", "has no name"),
        ("(define", "(defined", "does not begin with"),
        ("1))))", "1)))))", "a '\\)' without a '\\('"),
    ],
)
def test_wrong_domains_are_refused_with_the_reason(old, new, problem):
    assert old in DOMAIN or old == "1))))"
    text = DOMAIN.replace(old, new) if old in DOMAIN else f"){DOMAIN}"
    with pytest.raises(GameFileError, match=problem):
        read_domain(text)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("(at ?x B)", "(in ?x B)", "the goal names 'in', which is not a predicate"),
        ("(at ?x B)", "(at ?x Z)", "the goal names 'z', which is not an object"),
        ("(at ?x B)", "(at ?y B)", r"the goal names '\?y', which is not an object"),
        ("(at C1 A)", "(at C1 Z)", r"\(at \.\.\.\) names 'z', which is not an object"),
        ("(at C1 A)", "(at C1)", r"\(at \.\.\.\) has 1 arguments; its predicate has 2"),
        ("(:goal (exists (?x - thing) (at ?x B)))", "(:goal)", "holds other than one formula"),
        ("(:goal (exists (?x - thing) (at ?x B)))", "(:goal ())", r"no \(:init \.\.\.\) or no \(:goal"),
        ("(:goal (exists (?x - thing) (at ?x B)))", "", r"no \(:init \.\.\.\) or no \(:goal"),
        ("(:init", "(:start", r"no \(:init \.\.\.\) or no \(:goal"),
    ],
)
def test_wrong_problems_are_refused_with_the_reason(old, new, problem):
    assert old in PROBLEM
    with pytest.raises(GameFileError, match=problem):
        read_problem(PROBLEM.replace(old, new), read_domain(DOMAIN))


def test_brackets_may_be_nested_as_deep_as_they_like():
    with pytest.raises(GameFileError, match="cut off"):
        read_domain("(define " + "(" * 200_000)
    with pytest.raises(GameFileError):
        read_domain("(define " + "(" * 200_000 + ")" * 200_001)


@given(st.text(alphabet="()?-=abe; \n:", max_size=80))
def test_any_text_is_read_or_refused(text):
    for whole in (text, f"(define (domain d) {text})", DOMAIN.replace("(at ?x ?q)", text)):
        with contextlib.suppress(GameFileError):
            read_domain(whole)
