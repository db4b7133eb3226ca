"""The messages that a model gets."""

import itertools

import pytest

from palaestra.envs.critic.blocks import MODES, REMINDER, insert, instruction, with_instruction


@pytest.mark.parametrize(("mode", "cot", "form"), list(itertools.product(MODES, (False, True), ("json", "calls"))))
def test_what_is_told_about_errors(mode, cot, form):
    text = instruction(mode, cot=cot, form=form)
    assert "@" not in text
    assert ("thought" in text or "why" in text) == cot
    assert ("tool_select_error" in text) == (mode == "internal")
    assert ("FinishAction" in text) == (mode == "finish")
    assert ("at most three times" in text) == (mode != "internal")


def test_it_stands_in_front_of_the_last_reminder_or_at_the_end():
    assert insert(f"Rules. {REMINDER}\nTools.\n{REMINDER}.", "BLOCK") == f"Rules. {REMINDER}\nTools.\nBLOCK\n{REMINDER}."
    assert insert("Rules.\n", "BLOCK") == "Rules.\nBLOCK"
    assert insert("", "BLOCK") == "BLOCK"


def test_messages_stay_as_they_are():
    messages = [{"role": "system", "content": "Rules."}, {"role": "user", "content": "Hello."}]
    told = with_instruction(messages, "skip")
    assert messages[0]["content"] == "Rules."
    assert told[0]["content"].startswith("Rules.\nA tool may fail")
    assert told[1:] == messages[1:]
    assert with_instruction(messages[1:], "skip")[0]["role"] == "system"
