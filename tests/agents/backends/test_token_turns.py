"""What a sampled turn becomes, and when the next prompt is its continuation."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from palaestra.agents.backends.token_turns import TokenTurn, extended_prompt, finished_turn
from palaestra.agents.core import Request, Sampling
from palaestra.types import Message, ToolCall

ASK = Message("user", "go")
TOOLS: tuple[dict[str, Any], ...] = ({"type": "function", "function": {"name": "look"}},)
CALL = ToolCall("look", {"at": 1})
END, CALL_END, OTHER_END = 9, 8, 7


class Template:
    """A template whose tokens are letters, and whose continuation is 50 and as many ids as messages follow."""

    frame = SimpleNamespace(end=END)
    call_end_ids = frozenset({END, CALL_END})

    def __init__(self, *, opens_thought: bool = False, continues: bool = True) -> None:
        self.opens_thought, self.continues = opens_thought, continues
        self.asked: list[Any] = []

    def decode(self, ids: tuple[int, ...]) -> str:
        return "".join(chr(number) for number in ids)

    def read(self, text: str, tools: Any) -> Message:
        self.asked.append((text, tools))
        return Message("assistant", text.upper(), raw=text)

    def continuation(self, messages: tuple[Message, ...], tools: Any) -> Any:
        self.asked.append((messages, tools))
        if not self.continues:
            return None
        return SimpleNamespace(after=lambda ids, ended: (50, len(messages), len(ids), int(ended)))


def finish(template: Template, text: str, stop: Any, tools: Any = (), stops: tuple[str, ...] = ()) -> TokenTurn:
    request = Request((ASK,), tools=tools, sampling=Sampling(stop=stops))
    return finished_turn(template, request, (1, 2, 3), tuple(map(ord, text)), stop)  # type: ignore[arg-type]


def test_a_turn_keeps_its_dialogue_its_tokens_and_its_answer() -> None:
    turn = finish(Template(), "hi", "eos")
    assert turn == TokenTurn((ASK,), (), (1, 2, 3, ord("h"), ord("i")), 3, "hi", Message("assistant", "hi"), "eos")
    template = Template()
    turn = finish(template, "hi", "eos", TOOLS)
    assert (turn.answer, turn.tools) == (Message("assistant", "HI", raw="hi"), TOOLS)
    assert template.asked == [("hi", TOOLS)]


@pytest.mark.parametrize(
    ("stop", "stops", "text"),
    [
        ("stop_string", ("lo", "l"), "he"),
        ("stop_string", ("lo", "zz"), "hel"),
        ("stop_string", ("zz",), "hello"),
        ("stop_string", (), "hello"),
        ("stop_string", ("h",), ""),
        ("eos", ("l",), "hello"),
        ("length", ("l",), "hello"),
    ],
)
def test_a_message_ends_before_the_first_stop_text(stop: str, stops: tuple[str, ...], text: str) -> None:
    turn = finish(Template(), "hello", stop, stops=stops)
    assert (turn.text, turn.answer.content, turn.stop) == (text, text, stop)
    assert len(turn.ids) == 3 + 5, "the tokens stay"


@pytest.mark.parametrize(
    ("opens", "stop", "written", "content", "reasoning"),
    [
        (True, "length", "so far", "", "so far"),
        (True, "eos", "so far", "so far", ""),
        (False, "length", "so far", "so far", ""),
        (True, "length", "<think>a</think>b", "b", "a"),
    ],
)
def test_a_thought_that_the_prompt_opened_and_the_limit_cut_is_no_answer(
    opens: bool, stop: str, written: str, content: str, reasoning: str
) -> None:
    answer = finish(Template(opens_thought=opens), written, stop).answer
    assert (answer.role, answer.content, answer.reasoning) == ("assistant", content, reasoning)


def turn_of(answer: Message, stop: Any = "eos", last: int = END, text: str = "hi") -> TokenTurn:
    return TokenTurn((ASK,), TOOLS, (1, 2, 3, 4, last), 3, text, answer, stop)


HI = Message("assistant", "hi")
MORE = Message("user", "more")


@pytest.mark.parametrize(
    ("answer", "sent", "is_same"),
    [
        (HI, HI, True),
        (HI, Message("assistant", "no"), False),
        (HI, Message("user", "hi"), False),
        (HI, Message("assistant", "said", raw="hi"), True),
        (HI, Message("assistant", "hi", raw="said"), False),
        (HI, Message("assistant", "hi", reasoning="hm"), False),
        (Message("assistant", "x", (CALL,)), Message("assistant", "x", (replace(CALL, id="c1"),)), True),
        (Message("assistant", "x", (CALL,)), Message("assistant", "hi", (replace(CALL, name="get"),)), False),
        (Message("assistant", "x", (CALL,)), Message("assistant", "hi"), True),
        (Message("assistant", "hi", reasoning="hm"), Message("assistant", "hi", reasoning="hm"), True),
    ],
)
def test_a_history_that_holds_the_answer_is_continued(answer: Message, sent: Message, is_same: bool) -> None:
    template = Template()
    request = Request((ASK, sent, MORE, MORE), tools=TOOLS)
    found = extended_prompt(template, turn_of(answer), request)  # type: ignore[arg-type]
    assert found == ((1, 2, 3, 4, END, 50, 2, 5, 1) if is_same else None)
    assert template.asked == ([((MORE, MORE), TOOLS)] if is_same else [])


def test_another_dialogue_is_none_and_the_same_question_is_the_same_prompt() -> None:
    template: Any = Template()
    turn = turn_of(HI)
    assert extended_prompt(template, turn, Request((ASK,), tools=TOOLS)) == (1, 2, 3)
    assert extended_prompt(template, turn, Request((ASK, HI, MORE))) is None, "other tools"
    assert extended_prompt(template, turn, Request((MORE, HI, MORE), tools=TOOLS)) is None
    assert extended_prompt(Template(continues=False), turn, Request((ASK, HI, MORE), tools=TOOLS)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stop", "last", "added"),
    [
        ("eos", END, (50, 1, 5, 1)),
        ("eos", CALL_END, None),
        ("eos", OTHER_END, (50, 1, 5, 1)),
        ("length", CALL_END, (50, 1, 5, 0)),
    ],
)
def test_an_end_that_only_calls_have_is_not_continued(stop: str, last: int, added: tuple[int, ...] | None) -> None:
    turn = turn_of(HI, stop, last)
    found = extended_prompt(Template(), turn, Request((ASK, HI, MORE), tools=TOOLS))  # type: ignore[arg-type]
    assert found == (None if added is None else turn.ids + added)
