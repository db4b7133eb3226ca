import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.instructions import Constraint, ConstraintError, UnparsedConstraint, all_kinds, check, check_all
from palaestra.errors import UnknownNameError

KINDS = list(all_kinds().values())
EXAMPLES = [(kind.name, params) for kind in KINDS for params in kind.examples]
PIECES = ["# ", "## a", "\n", "\n\n", "| a | b |\n", "|---|---|\n", "```json\n", "```\n", '{"a": [1]}', "<a b='1'/>", "> "]
PIECES += ["- x", "The river. ", "Mr. ", "国", "國。", "**b**", "\ud800", "\0", "1.5", "...", "!?", "river", "'", '"', "\\|"]
MARKED_UP = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8)), max_size=30).map("".join)
HOSTILE = {
    "letters": "a" * 1_000_000,
    "surrogates": "\ud800" * 20_000,
    "hashes": "#" * 100_000,
    "hash lines": "# \n" * 10_000,
    "pipes": "|" * 100_000,
    "pipe lines": "|a|\n" * 10_000,
    "brackets": "[" * 100_000 + "]" * 100_000,
    "open tags": "<a b=\"'" * 10_000,
    "fences": "```json\n" * 10_000,
    "stops": ".)" * 30_000,
    "an end mark and closers": "." + ")" * 300_000,
    "quotes": ">" * 100_000,
    "stars": "**a__" * 20_000,
    "Chinese": "国。" * 20_000,
    "blanks": " \t" * 50_000,
}


def test_every_kind_has_an_example_a_family_and_a_summary():
    assert len(KINDS) >= 21
    for kind in KINDS:
        assert kind.examples
        assert kind.family.split("_")[0] in ("Content", "Format", "Language", "Length")
        assert kind.summary.endswith((".", "else"))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(EXAMPLES), MARKED_UP, st.sampled_from(["strict", "published"]))
def test_any_response_gets_a_plain_verdict_and_always_the_same(example, response, profile):
    constraint = Constraint(*example)
    verdict = check(constraint, response, profile)
    assert isinstance(verdict.passed, bool)
    assert verdict.reason
    json.dumps([verdict.reason, dict(verdict.measured)])
    assert check(constraint, response, profile) == verdict


@pytest.mark.parametrize("name", HOSTILE)
def test_huge_and_hostile_responses_get_a_verdict_from_every_kind(name):
    for kind in KINDS:
        for profile in ("strict", "published"):
            assert isinstance(check(Constraint(kind.name, kind.examples[-1]), HOSTILE[name], profile).passed, bool)


@given(st.sampled_from(EXAMPLES))
def test_params_are_complete_plain_json_and_build_the_same_constraint_again(example):
    constraint = Constraint(*example)
    kind = all_kinds()[constraint.kind]
    assert set(constraint.params) >= set(kind.defaults) - set(kind.optional)
    again = Constraint(constraint.kind, json.loads(json.dumps(dict(constraint.params))))
    assert again == constraint


def test_what_could_not_be_read_is_never_passed():
    constraint = UnparsedConstraint("Be nice.")
    assert check(constraint, "Nice.").passed is None
    assert [one.passed for one in check_all([constraint, Constraint("length.words", {"lo": 1})], "Hi")] == [None, True]


def test_scopes_of_the_paper_are_understood_in_both_spellings():
    long, short = (Constraint("length.words", {"hi": 3, "scope": scope}) for scope in ("each_sentence", "sentence"))
    assert long == short


@pytest.mark.parametrize(
    ("kind", "params", "said"),
    [
        ("length.words", {"lo": 5, "hi": 3}, "at least 5 and at most 3"),
        ("length.words", {"lo": -1}, "whole number"),
        ("length.words", {"lo": True}, "whole number"),
        ("length.words", {"least": 3}, "no parameter 'least'"),
        ("length.words", {"scope": "chapter"}, "one of whole"),
        ("content.keywords", {}, "needs the parameter 'keywords'"),
        ("content.keywords", {"keywords": ["a", " "]}, "not blank"),
        ("format.table", {"rows": [3, 1]}, "lo, hi"),
        ("format.markdown", {"required_levels": [7]}, "levels, 1 to 6"),
    ],
)
def test_wrong_parameters_are_named(kind, params, said):
    with pytest.raises(ConstraintError, match=said):
        Constraint(kind, params)


def test_unknown_kinds_and_profiles_are_named():
    with pytest.raises(UnknownNameError, match=r"length\.words"):
        Constraint("length.word", {})
    with pytest.raises(UnknownNameError, match="lenient"):
        check(Constraint("length.words", {}), "", "lenient")
