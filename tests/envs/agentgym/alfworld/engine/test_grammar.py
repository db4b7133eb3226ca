"""Reading the text grammar."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.agentgym.alfworld.engine.errors import GameFileError
from palaestra.envs.agentgym.alfworld.engine.facts import Facts
from palaestra.envs.agentgym.alfworld.engine.grammar import (
    ActionTexts,
    Call,
    Grammar,
    check_texts,
    read_grammar,
    read_queries,
    read_symbols,
)
from palaestra.envs.agentgym.alfworld.engine.texts import Texts, display_names

THINGS = {"cup_bar_2": "object", "cup_bar_1": "object", "sink_bar_1_bar_sinkbasin": "receptacle", "agent1": "agent"}


def said(text: str, facts: Any = (), **rules: str) -> str:
    """Return what a text says where some facts hold."""
    lists = {"list_empty": "nothing", "list_separator": ", ", "list_last_separator": ", and "}
    block = {name: [{"rhs": rule}] for name, rule in {**lists, **rules}.items()}
    grammar = read_grammar(f'grammar :: """{json.dumps(block)}""";')
    members = {"object": frozenset(THINGS), "receptacle": frozenset(["sink_bar_1_bar_sinkbasin"]), "agent": frozenset()}
    check_texts(grammar, {text: frozenset("o")})
    texts = Texts(grammar, display_names(THINGS, THINGS), lambda kind: members.get(kind, frozenset()))
    return texts.say(read_symbols(text), {("o", "object"): "cup_bar_1"}, Facts(facts, ()))


BOTH = [("on", ("cup_bar_1",)), ("on", ("cup_bar_2",))]


@pytest.mark.parametrize(
    ("text", "facts", "expected"),
    [
        ("You see {o.indefinite} {o.name}.", (), "You see a cup 2."),
        ("{o} {o.id} {o.type} {o.definite}", (), "cup 2 cup_bar_1 object the"),
        ("{o.indefinite + ' ' + o.name}", (), "a cup 2"),
        ("{'' or o.name}", (), "cup 2"),
        ("[{x.name | on(x:object)}]", BOTH, "cup 1"),  # o is another cup, and two variables are never one thing
        ("[{o.name | on(o:object)}]", BOTH, "cup 2"),
        ("[{o.name | on(o:object)}]", (), "nothing"),
        ("{o.name | on(o:object)}!", (), "!"),
        ("#thing#.", (), "cup 2 there."),
        ("[{#thing# | on(o:object)}]", BOTH, "cup 2 there"),
        ('"quoted"', (), "quoted"),
        ("a\\nb", (), "a\nb"),
    ],
)
def test_symbols_say_what_they_stand_for(text, facts, expected):
    assert said(text, facts, thing="{o.name} there") == expected


def test_lists_have_separators_and_the_order_of_ids():
    facts = [("near", ("cup_bar_2", "cup_bar_1")), ("near", ("cup_bar_1", "cup_bar_2"))]
    assert said("[{x.name + y.name | near(x:object, y:object)}]", facts) == "nothing"  # o is one of both
    three = [("in", (name, "sink_bar_1_bar_sinkbasin")) for name in ("cup_bar_2", "agent1")]
    assert said("[{x.name | in(x:object, r:receptacle)}]", three) == "agent1 , and cup 1"


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("  leading blanks go", ("leading blanks go",)),
        ("\n\n  also after\n  a break", ("also after\n  a break",)),
        ("// a comment\nsaid", ("said",)),
        ("a\tb", ("a\tb",)),
        ("{o}\tb", 2),
        ("cut here; and lost", ("cut here",)),
        ("cut | lost", ("cut ",)),
        ("a # lone mark", ("a ",)),
        ("ends at a brace } lost", ("ends at a brace } lost",)),
        ("", ()),
    ],
)
def test_the_lexer_drops_what_the_original_drops(text, symbols):
    found = read_symbols(text)
    if isinstance(symbols, int):
        assert len(found) == symbols
        assert found[-1] == "b"
    elif "}" in text:
        assert found == ("ends at a brace ",)
    else:
        assert found == symbols


def test_names_count_down_in_the_order_of_ids():
    names = display_names(THINGS, THINGS)
    assert {thing: name.name for thing, name in names.items()} == {
        "agent1": "agent1 ",
        "cup_bar_1": "cup 2",
        "cup_bar_2": "cup 1",
        "sink_bar_1_bar_sinkbasin": "sinkbasin 1",
    }


@given(st.integers(0, 2**31 - 1))
def test_shuffled_names_are_the_same_names_dealt_out_again(seed):
    things = [f"cup_bar_{number}" for number in range(9)] + ["pot_bar_1"]
    types = dict.fromkeys(things, "object")
    shuffled = display_names(things, types, seed)
    assert sorted(name.name for name in shuffled.values()) == sorted(n.name for n in display_names(things, types).values())
    assert shuffled == display_names(things, types, seed)


def test_actions_have_a_command_and_an_answer():
    grammar = read_grammar('action Open {\n template :: "open {r}"; # a note\n feedback :: "You\nopen."; }')
    assert grammar.actions == {"open": ActionTexts("open {r}", "You\nopen.")}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('grammar :: """{"a": [{"rhs": "x"}', "cut off"),
        ('grammar :: """{"a": [{"rhs": "x"}""";', "not JSON"),
        ('grammar :: """[1]""";', "not an object"),
        ('grammar :: """{"a": []}""";', "not a list of alternatives"),
        ('grammar :: """{"a": [{"lhs": "x"}]}""";', "is not"),
        ('grammar :: """{"a": [{"rhs": "x", "condition": 3}]}""";', "is not"),
        ('grammar :: """{"a": [{"rhs": "x", "condition": "opened r"}]}""";', "cannot be read"),
        ('grammar :: """{"a": [{"rhs": "x", "condition": "opened(r)"}]}""";', "has no type"),
        ('grammar :: """{"a": [{"rhs": "{__import__(1)}"}]}""";', "is not supported"),
        ('grammar :: """{"a": [{"rhs": "{o.name.upper()}"}]}""";', "is not supported"),
        ('grammar :: """{"a": [{"rhs": "{o.secret}"}]}""";', "is not supported"),
        ('grammar :: """{"a": [{"rhs": "{o.}"}]}""";', "cannot be read"),
        ('action a { template :: "x"; feedback :: "y";', "cut off"),
        ('action a { template :: "x"; }', "no template or no feedback"),
    ],
)
def test_wrong_grammars_are_refused_with_the_reason(text, problem):
    with pytest.raises(GameFileError, match=problem):
        read_grammar(text)


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ({"intro": "#task#"}, "there is no rule #task#"),
        ({"intro": "{o.name}"}, "intro reads 'o', which is not a variable there"),
        ({"intro": "#a#", "a": "#b#", "b": "#a#"}, "the rule #a# leads to itself"),
        ({"intro": "[{o.name | on(o:object)}]"}, "there is no rule #list_empty#"),
    ],
)
def test_texts_that_cannot_be_said_are_found_when_they_are_loaded(rules, problem):
    grammar = read_grammar(f'grammar :: """{json.dumps({name: [{"rhs": text}] for name, text in rules.items()})}""";')
    with pytest.raises(GameFileError, match=problem):
        check_texts(grammar, {"#intro#": frozenset()})


def test_a_rule_that_nothing_leads_to_may_miss_others():
    grammar = Grammar(read_grammar('grammar :: """{"a": [{"rhs": "#gone#"}], "intro": [{"rhs": "hi"}]}""";').rules, {})
    check_texts(grammar, {"#intro#": frozenset()})
    assert read_symbols("#a#") == (Call("a"),)


def test_queries_name_deleted_facts_by_not():
    held, gone = read_queries("holds(a:agent, o:object) & not_in(o:object)")
    assert (held.predicate, held.is_deleted, held.variables) == ("holds", False, (("a", "agent"), ("o", "object")))
    assert (gone.predicate, gone.is_deleted) == ("in", True)


@given(st.text(alphabet="abo.{}[]|#\"';&()\n\t:+ /", max_size=40))
def test_any_rule_is_read_or_refused(text):
    with contextlib.suppress(GameFileError):
        read_symbols(text)
