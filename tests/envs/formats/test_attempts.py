"""What plainly tries to act is read or answered with advice; everything else is a plain answer."""

from __future__ import annotations

import json
import re
import signal

import gymnasium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.formats import FORMATS
from palaestra.envs.formats import format_message
from palaestra.envs.formats.attempt_signs import misspelt
from palaestra.envs.formats.attempts import ARGUMENT_KEYS, NAME_KEYS, doubt_about, find_attempt, unread, with_attempt
from palaestra.envs.formats.dialects import DIALECTS
from palaestra.envs.tools import sample_call
from palaestra.types import Message, ToolCall

DESK = gymnasium.make("palaestra/Desk-v0")
DESK.reset(seed=0)
TOOLS = DESK.unwrapped.tools()
NAMES = [tool["function"]["name"] for tool in TOOLS]
QUERY = {"query": "Glass lunch"}
CALL = ToolCall("search_notes", QUERY)
J = json.dumps({"name": "search_notes", "arguments": QUERY})
P = "search_notes(query='Glass lunch')"

MODES = [{}, {"calls": "tools"}, {"mode": "sfc"}, {"mode": "hybrid"}]
calls = st.integers(0, 2**32).map(lambda seed: _drawn(seed))


def _drawn(seed: int) -> ToolCall:
    import numpy as np

    return sample_call(TOOLS, np.random.default_rng(seed))


def with_keys(call: ToolCall, name_key: str, argument_key: str, as_text: bool) -> str:
    arguments = json.dumps(call.arguments) if as_text else call.arguments
    return json.dumps({name_key: call.name, argument_key: arguments})


JSON_FRAMES = [
    "{}",
    "```json\n{}\n```",
    "```\n{}\n```",
    '```json title="call"\n{}\n```',
    "```tool_call\n{}\n```",
    "~~~json\n{}\n~~~",
    "[TOOL_CALLS] [{}]",
    "[TOOL_CALLS]{}",
    "{}\n</tool_call>",
    "<tool_calls>\n{}\n</tool_calls>",
    "<tool_calls>[{}]</tool_calls>",
    "<function_calls>{}</function_calls>",
    "<functioncall> {} </functioncall>",
    "<|python_tag|>{}<|eom_id|>",
    "<|tool_call|>[{}]<|/tool_call|>",
    "<TOOLCALL>[{}]</TOOLCALL>",
    "I look first.\n\n{}",
    "Action: {}",
    "[{}]",
    '{{"tool_calls": [{}]}}',
    '{{"tool_call": {}}}',
    '[{{"type": "function", "function": {}}}]',
]
CODE_FRAMES = [
    "{}",
    "```python\n{}\n```",
    "```tool_code\n{}\n```",
    "```tool_code\nprint({})\n```",
    '```python title="x"\n{}\n```',
    "```{{python}}\n{}\n```",
    "I look first.\n{}",
    "result = {}",
    "Action: {}",
    "<tool_code>\n{}\n</tool_code>",
    "`{}`",
]


@given(calls, st.sampled_from(JSON_FRAMES), st.sampled_from(NAME_KEYS), st.sampled_from(ARGUMENT_KEYS), st.booleans())
def test_a_call_in_json_is_read_in_every_frame_and_under_every_key(call, frame, name_key, argument_key, as_text):
    text = frame.replace("{{", "{").replace("}}", "}").replace("{}", with_keys(call, name_key, argument_key, as_text), 1)
    attempt = find_attempt(text, TOOLS)
    assert attempt is not None
    assert attempt.calls == (call,), (text, attempt)
    assert attempt.rest == ("I look first." if "first" in frame else "")


@given(calls, st.sampled_from(CODE_FRAMES))
def test_a_call_in_code_is_read_in_every_frame(call, frame):
    code = f"{call.name}({', '.join(f'{key}={value!r}' for key, value in call.arguments.items())})"
    attempt = find_attempt(frame.format(code), TOOLS)
    assert attempt is not None
    if frame != "`{}`":
        assert attempt.calls == (call,), (frame.format(code), attempt)
        assert attempt.rest == ("I look first." if "first" in frame else "")


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_the_syntax_of_every_model_family_is_read_or_answered(dialect):
    text = re.sub(r"\bTOOL\b", "search_notes", dialect.example).replace("ARGUMENT", "query").replace("VALUE", "Glass lunch")
    message = FORMATS["tools"]().read(Message("assistant", text), TOOLS)
    assert [(call.name, call.arguments) for call in message.tool_calls] == [("search_notes", QUERY)], message
    DESK.reset(seed=0)
    assert not DESK.step(text)[2]


STRAY = [
    "<tool_call>",
    "</tool_call>",
    "<|python_tag|>",
    "[TOOL_CALLS]",
    "<function=search_notes>",
    "</function>",
    "<arg_key>",
]
STRAY += [
    "<｜tool▁calls▁begin｜>",
    "<tool_calls>",
    "<arg_key>",
    "```tool_code\n```",
    "<|tool_call>",
    '<invoke name="search_notes">',
]
BROKEN = [
    J[:-1],
    J[:-3],
    '{"name": "search_notes", "arguments": {"query": 1e999}}',
    '{"name": "search_notes", "arguments": {"query": NaN}}',
    '{"name": "search_notes", "arguments": [1]}',
    '{"name": "search_note", "arguments": {}}',
    '{"name": null, "arguments": {}}',
    f'[{J}, {{"name": null, "arguments": {{}}}}]',
    "search_notes(query=x)",
    "search_notes(query=",
    "I'll call search_notes(query='Glass lunch')",
    "Let me use search_notes(query='Glass lunch').",
    "Action: search_notes\nAction Input: Glass lunch",
]


@pytest.mark.parametrize("text", [*STRAY, *BROKEN])
@pytest.mark.parametrize("before", ["", "I look first.\n"])
@pytest.mark.parametrize("lenient", [False, True])
def test_what_cannot_be_read_is_answered_with_advice_and_ends_nothing(text, before, lenient):
    env = gymnasium.make("palaestra/Desk-v0", lenient=lenient)
    env.reset(seed=0)
    state = env.unwrapped.state_hash()
    observation, reward, terminated, _, info = env.step(before + text)
    assert not terminated
    assert not reward
    assert '"arguments": {' in observation
    assert info["action_error"]
    assert env.unwrapped.state_hash() == state


@settings(max_examples=40)
@given(calls, st.sampled_from(JSON_FRAMES), st.booleans())
def test_desk_runs_a_readable_attempt_where_it_is_lenient_and_advises_elsewhere(call, frame, lenient):
    env, twin = (gymnasium.make("palaestra/Desk-v0", lenient=lenient) for _ in range(2))
    env.reset(seed=3)
    twin.reset(seed=3)
    text = frame.replace("{{", "{").replace("}}", "}").replace("{}", with_keys(call, "name", "arguments", False), 1)
    observation, _, terminated, _, info = env.step(text)
    assert not terminated
    if lenient:
        assert observation == twin.step(Message("assistant", "", (call,)))[0]
    else:
        assert "in another form" in info["action_error"]
        assert env.unwrapped.state_hash() == twin.unwrapped.state_hash()


prose = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "I used search_notes to find it.",
                "I called search_notes(query='Glass') and found nothing.",
                "You can call `search_notes(query='x')` again.",
                "The `<tool_call>` tag marks a call.",
                "See [the list](http://x) and f(x) = 2.",
                "{curly} and [square]",
                "Done (at 14:30).",
                "x = [1, 2, 3]",
                "```python\nprint(sorted([2, 1]))\n```",
                '```json\n{"title": "x", "when": ["a", {"b": 1}]}\n```',
                "| a | b |",
                "1 < 2 > 0",
                "mara.lind@example.com",
            ]
        ),
        st.text(st.characters(exclude_characters="<[{(`"), max_size=20),
    ),
    max_size=5,
).map("\n".join)
plain_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["title", "x"]), inner, max_size=3),
    max_leaves=6,
)
others = st.text("xyzXYZ ", min_size=1, max_size=12)


@given(prose)
def test_prose_that_mentions_tools_is_a_plain_answer(text):
    assert find_attempt(text, TOOLS) is None
    assert with_attempt(Message("assistant", text), TOOLS) == Message("assistant", text)


@given(plain_json, st.booleans())
def test_json_that_names_no_tool_is_a_plain_answer(value, is_fenced):
    text = json.dumps(value)
    assert find_attempt(f"```json\n{text}\n```" if is_fenced else text, TOOLS) is None


@given(others, st.sampled_from(NAME_KEYS), st.sampled_from(ARGUMENT_KEYS), plain_json)
def test_json_whose_name_is_of_no_tool_is_a_plain_answer(name, name_key, argument_key, value):
    attempt = find_attempt(json.dumps({name_key: name, argument_key: value, "note": 1}), TOOLS)
    assert attempt is None
    assert find_attempt(json.dumps({"name": name, "email": value}), TOOLS) is None
    if not isinstance(value, dict):
        assert find_attempt(json.dumps({name_key: name, argument_key: value}), TOOLS) is None


@given(
    st.from_regex(r"[a-z][a-z_]{0,20}", fullmatch=True).filter(lambda name: name not in NAMES),
    st.sampled_from(["name", "tool", "function_name", "tool_name", "function"]),
    st.sampled_from(["arguments", "parameters", "args", "kwargs", "tool_input"]),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    st.booleans(),
    st.sampled_from(["{}", "```json\n{}\n```", "[{}]", '{{"tool_calls": [{}]}}', "I look.\n{}"]),
)
def test_a_call_in_json_of_a_tool_that_there_is_not_is_answered_with_advice(
    name, name_key, argument_key, value, as_text, frame
):
    text = json.dumps({name_key: name, argument_key: json.dumps(value) if as_text else value})
    attempt = find_attempt(frame.replace("{{", "{").replace("}}", "}").replace("{}", text, 1), TOOLS)
    assert attempt is not None
    assert not attempt.calls
    assert f"there is no tool {name!r}" in attempt.advice


@given(calls, plain_json.filter(lambda value: value not in ([], {})), st.booleans())
def test_a_list_that_holds_a_call_and_something_else_is_not_run_in_part(call, other, is_first):
    one = {"name": call.name, "arguments": call.arguments}
    attempt = find_attempt(json.dumps([other, one] if is_first else [one, other]), TOOLS)
    assert attempt is not None
    assert not attempt.calls
    assert "some of the calls in its list" in attempt.advice


@given(st.sampled_from(NAMES), st.sampled_from(["", "The answer is ", "- "]))
def test_the_bare_name_of_a_tool_is_a_plain_answer(name, before):
    assert find_attempt(f"{before}{name}", TOOLS) is None
    assert find_attempt(f"{before}{name}.", TOOLS) is None


@given(st.text())
def test_any_text_is_an_attempt_or_a_plain_answer(text):
    attempt = find_attempt(text, TOOLS)
    assert attempt is None or unread(attempt)


@pytest.mark.parametrize("after", ["[1]", "{'query': 'x'}", "'x'", 'query="x"', '["x", 2]'])
@pytest.mark.parametrize("function", ["call_tool", "client.callTool", "run"])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_name_as_the_first_argument_of_a_call_is_an_attempt_whatever_the_second_is(after, function, quote):
    attempt = find_attempt(f"{function}({quote}search_notes{quote}, {after})", TOOLS)
    assert attempt is not None
    assert find_attempt(f"I wrote ({quote}search_notes{quote}, and more) to Mara.", TOOLS) is None


@given(calls, prose)
def test_the_canonical_form_is_left_to_its_reader(call, text):
    message = Message("assistant", text, (call,))
    assert with_attempt(message, TOOLS) == message
    assert "<tool_call>" in format_message(message)


PIECES = (
    "{", "[", "(", "search_notes(", "search_notes(query)\n- ", '{"name": "', "\n{", "\nsearch_notes(x\n",
    "<tool_call>", "I'll ", "`", "Action: a\n", "search_notes ", "Action：search_notes ", "mcp__desk__search_notes ",
    "a__", "__", "to=search_notes ", "to=functions.", "assistantcommentary to=", "<tool>search_notes</tool>",
    "<tool>search_notes</tool><query>", "**Tool:** search_notes\n", "**a:** b\n", "```bash\nsearch_notes x\n```\n",
    "✔ search_notes(query='x')\n", "1. search_notes(query='x')\n", "I will call search_notes. ", "Please confirm. ",
    "search_notes을 ", "<!-- ", "search_notesjson{", '{"op":"search_notes",', "search_notes(query: a, ", "note says ",
)  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_the_work_of_looking_grows_with_the_length_of_the_text(piece):
    text = (piece * 1_000_000)[:1_000_000]  # work that grows with its square would take half an hour

    def too_much(*_):
        raise AssertionError(f"{piece!r} took 60 s of CPU")

    before = signal.signal(signal.SIGVTALRM, too_much)
    signal.setitimer(signal.ITIMER_VIRTUAL, 60.0)
    try:
        find_attempt(text, TOOLS)
        doubt_about(text)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize(
    "text",
    [
        '```python title="x"\nvw.tailLight.switch(switch=False)\n```',
        "vw.tailLight.switch(switch=False)",
        "- vw.tailLight.switch(switch=False)",
        "r = vw.tailLight.switch(switch=False)",
        "Now:\nvw.tailLight.switch(switch=False)",
        "```tool_code\nvw.tailLight.switch(switch=False)\n```",
        "```javascript\nvw.tailLight.switch(switch=False)\n```",
        "[TOOL_CALLS] [{}]",
        "<tool_calls>x</tool_calls>",
        '{"name": "tailLight_switch", "arguments": {"switch": false}}',
        "vw.to_dict()",
        "get_modules()",
    ],
)
@pytest.mark.parametrize(
    "kwargs",
    [{}, {"calls": "tools"}, {"mode": "sfc"}, {"mode": "hybrid"}, {"mode": "hybrid", "calls": "tools"}, {"mixed": True}],
)
def test_an_attempt_ends_no_request_of_vehicle_world(text, kwargs):
    env = gymnasium.make("palaestra/VehicleWorld-v0", **kwargs)
    env.reset(seed=0)
    observation, _, terminated, _, _ = env.step(text)
    assert not terminated, observation
    assert env.unwrapped.progress.index == 0


@pytest.mark.parametrize(
    "text", ["Done.", "The vw.music module plays.", "It cannot be done (the door is open).", "a < b", "1. Done"]
)
@pytest.mark.parametrize("kwargs", [{}, {"calls": "tools"}, {"mode": "sfc"}, {"mode": "hybrid"}])
def test_plain_words_end_a_request_of_vehicle_world(text, kwargs):
    env = gymnasium.make("palaestra/VehicleWorld-v0", **kwargs)
    env.reset(seed=0)
    env.step(text)
    assert env.unwrapped.progress.index == 1


MADE_UP = [
    "remove_note(title='Glass lunch')",
    'sendEmail(to="x", cc=["y"])',
    "desk.remove_note(id=12)",
    "`archive_it(all=True)`",
]
NOT_MADE_UP = [
    "The call remove_note(title='Glass lunch') is not on offer.",
    "final_answer(text='It is done.')",
    "Area(width=3)",
    "speed_up(x) = 3 (half)",
    "Room_2 (first floor, size=20)",
]


@pytest.mark.parametrize("text", MADE_UP)
def test_a_text_that_is_a_call_of_no_tool_is_no_answer(text: str) -> None:
    attempt = find_attempt(text, TOOLS)
    assert attempt is not None
    assert not attempt.calls
    assert "there is no tool" in attempt.advice
    assert find_attempt(text, ()) is None


@pytest.mark.parametrize("text", NOT_MADE_UP)
def test_other_texts_with_brackets_are_answers(text: str) -> None:
    assert find_attempt(text, TOOLS) is None


@pytest.mark.parametrize(("name", "meant"), [("look_arond(3)", "look_around"), ("LookAround(3)", "look_around")])
def test_the_tool_that_a_misspelt_one_is_near_to_is_named(name: str, meant: str) -> None:
    said = misspelt(name, {"look_around": {}, "wait": {}})
    assert said == f"there is no tool {name.partition('(')[0]!r}; did you mean {meant!r}?"


def test_a_call_that_is_near_to_no_tool_is_named_alone_or_not_at_all() -> None:
    assert misspelt("open_gate(side='left')", {"wait": {}}) == "there is no tool 'open_gate'"
    assert misspelt("open_gate(side='left')", {}) == misspelt("gate(3)", {"wait": {}}) == ""
