"""Commands that are wrapped in other words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.agentgym.alfworld.tolerance import RULES, read_command

COMMANDS = ("go to desk 1", "go to desk 10", "look", "take mug 1 from desk 1", "move mug 1 to desk 1", "use desklamp 1")


def translated(command: str) -> str:
    return "move mug 1 to desk 1" if command == "put mug 1 in/on desk 1" else command


def read(text: str) -> tuple[str, tuple[str, ...]] | None:
    return read_command(text, COMMANDS, translated)


@pytest.mark.parametrize(
    ("text", "command", "rules"),
    [
        ("> go to desk 1", "go to desk 1", ("prompt",)),
        (">go to desk 1", "go to desk 1", ("prompt",)),
        ("Action: go to desk 1", "go to desk 1", ("label",)),
        ("> Action 2: go to desk 10", "go to desk 10", ("prompt", "label")),
        ("act: > look", "look", ("label", "prompt")),
        ("think: I need a mug.\ntake mug 1 from desk 1", "take mug 1 from desk 1", ("think",)),
        ("Thought: The desk.\nAction: go to desk 1", "go to desk 1", ("think", "label")),
        ("`go to desk 1`", "go to desk 1", ("quotes",)),
        ("go to desk 1.", "go to desk 1", ("quotes",)),
        ("Go to desk 1", "go to desk 1", ("case",)),
        ('"Go To Desk 1."', "go to desk 1", ("quotes", "case")),
        ("I will now go to desk 1.", "go to desk 1", ("prose",)),
        ("Please take mug 1 from desk 1", "take mug 1 from desk 1", ("prose",)),
        ("Let us go to desk 10", "go to desk 10", ("prose",)),
        ("Why not go to desk 1", "go to desk 1", ("prose",)),
        ("I should go to desk 1.", "go to desk 1", ("prose",)),
        ("I would like to take mug 1 from desk 1", "take mug 1 from desk 1", ("prose",)),
        ("put mug 1 in/on desk 1", "move mug 1 to desk 1", ()),
        ("now put mug 1 in/on desk 1", "move mug 1 to desk 1", ("prose",)),
        ("think: where is the mug?", "", ("think",)),
        ("> think: where is the mug?", "", ("prompt", "think")),
    ],
)
def test_a_wrapped_command_is_read_and_the_rules_are_named(text, command, rules):
    assert read(text) == (command, rules)
    assert set(rules) <= set(RULES)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ">",
        "Action:",
        "dance",
        "go to desk 1 and then look at it",
        "I go to desk 1 now",
        "overlook",
        "outlook",
        "go to desk 100",
        "do not go to shelf 1",
        "Don't go to desk 1",
        "I won\u2019t go to desk 1.",
        "Never go to desk 10",
        "I should not go to desk 1",
        "If I could, I would go to desk 1",
        "I can't take mug 1 from desk 1",
        "I do not want to look",
        "what if I look",
        "no need to use desklamp 1",
        "I do not put mug 1 in/on desk 1",
    ],
)
def test_other_texts_are_not_commands(text):
    assert read(text) is None


@given(st.text(max_size=60))
def test_only_possible_commands_are_ever_read(text):
    found = read(text)
    assert found is None or found[0] in (*COMMANDS, "")
