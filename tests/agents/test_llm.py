import pytest

from palaestra.agents.context import ContextPolicy
from palaestra.agents.core import Generation, Sampling, Tokens
from palaestra.agents.llm import LLMAgent
from palaestra.envs.formats.hermes import format_message
from palaestra.errors import ConfigError, EpisodeStateError
from palaestra.types import Message, ToolCall, ToolResult, Usage

TOOLS = ({"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {"type": "object"}}},)


class Parrot:
    """Answers with prepared messages and keeps the requests."""

    name = "parrot"

    def __init__(self, *answers: Message, tokens=()):
        self.answers, self.tokens, self.requests, self.closed = list(answers), list(tokens), [], False

    async def generate(self, request):
        self.requests.append(request)
        index = len(self.requests) - 1
        tokens = self.tokens[index] if self.tokens else None
        usage = Usage(calls=1, prompt_tokens=10, completion_tokens=2)
        return Generation(self.answers[index % len(self.answers)], usage=usage, tokens=tokens)

    async def aclose(self):
        self.closed = True


async def test_the_dialogue_opens_with_instructions_and_form_and_grows_by_turns():
    backend = Parrot(Message("assistant", "Thought: a\nAction: go"))
    agent = LLMAgent(backend, format="react", system_prompt="You are careful.")
    agent.reset({"instructions": "Rules.", "tools": []}, session="e1")
    first = await agent.aact("start", {})
    await agent.aact("next", {})
    system, *rest = backend.requests[1].messages
    assert system.role == "system"
    assert system.content.startswith("You are careful.\n\nRules.")
    assert [m.role for m in rest] == ["user", "assistant", "user"]
    assert rest[1].content == "Thought: a\nAction: go"
    assert first.content == "go"
    assert backend.requests[1].session == "e1"


async def test_instructions_may_go_into_the_first_user_message():
    backend = Parrot(Message("assistant", "go"))
    agent = LLMAgent(backend, format="text", instructions_as="user")
    agent.reset({"instructions": "Rules."})
    await agent.aact("start", {})
    await agent.aact("on", {})
    assert [m.role for m in backend.requests[1].messages] == ["user", "assistant", "user"]
    assert backend.requests[0].messages[0].content == "Rules.\n\nstart"
    assert backend.requests[1].messages[-1].content == "on"


async def test_instructions_may_be_left_out():
    backend = Parrot(Message("assistant", "go"))
    agent = LLMAgent(backend, format="text", instructions_as="none")
    agent.reset({"instructions": "Rules."})
    await agent.aact("start", {})
    assert [m.content for m in backend.requests[0].messages] == ["start"]
    with pytest.raises(ConfigError, match="expected 'system', 'user' or 'none'"):
        LLMAgent(backend, instructions_as="nowhere")


async def test_native_tools_travel_as_schemas_and_results_as_tool_messages():
    backend = Parrot(Message("assistant", "", (ToolCall("look", {}),)))
    agent = LLMAgent(backend)
    agent.reset({"instructions": "", "tools": list(TOOLS)})
    played = await agent.aact("start", {})
    await agent.aact("a door", {"tool_results": [ToolResult("look", "a door", call_id=played.tool_calls[0].id)]})
    assert backend.requests[0].tools == TOOLS
    last = backend.requests[1].messages[-1]
    assert (last.role, last.content, last.tool_call_id) == ("tool", "a door", played.tool_calls[0].id)


async def test_an_environment_may_name_its_format_change_its_tools_and_mark_what_passes():
    backend = Parrot(Message("assistant", "go"))
    agent = LLMAgent(backend)
    agent.reset({"instructions": "Rules.", "format": "text", "transient": ["state"]})
    await agent.aact("<state>\n1\n</state>", {})
    await agent.aact("<state>\n2\n</state>", {})
    assert [m.content for m in backend.requests[1].messages if m.role == "user"] == [
        "<state>(left out: a newer one follows)</state>",
        "<state>\n2\n</state>",
    ]
    other = {"type": "function", "function": {"name": "wait", "description": "Wait.", "parameters": {"type": "object"}}}
    agent = LLMAgent(backend)
    agent.reset({"tools": TOOLS})
    await agent.aact("start", {"tools": TOOLS})
    await agent.aact("more", {"tools": [other]})
    await agent.aact("still", {})
    assert [[tool["function"]["name"] for tool in r.tools] for r in backend.requests[2:]] == [["look"], ["wait"], ["wait"]]


async def test_a_rewritten_history_opens_a_new_segment():
    def tokens(*prompt):
        return Tokens(prompt, (9,), (-0.1,))

    backend = Parrot(Message("assistant", "go"), tokens=[tokens(1, 2), tokens(1, 2, 9, 3), tokens(1, 4, 9, 5)])
    agent = LLMAgent(backend, format="text")
    agent.reset({"transient": ["state"]})
    for text in ("<state>\na\n</state>", "b", "<state>\nc\n</state>"):
        await agent.aact(text, {})
    segments = agent.record().segments
    assert [[span.turn for span in segment.turns] for segment in segments] == [[0, 1], [2]]
    assert "left out" in backend.requests[2].messages[0].content


async def test_seeds_differ_by_turn_and_episode_and_repeat():
    async def seeds(session):
        backend = Parrot(Message("assistant", "go"))
        agent = LLMAgent(backend, format="text", sampling=Sampling(seed=7))
        agent.reset({}, session=session)
        for _ in range(3):
            await agent.aact("x", {})
        return [request.sampling.seed for request in backend.requests]

    assert await seeds("a") == await seeds("a")
    assert len(set(await seeds("a") + await seeds("b"))) == 6


async def test_usage_and_tokens_are_recorded_per_episode():
    tokens = [Tokens((1, 2), (3,), (-0.5,)), Tokens((1, 2, 3, 4), (5, 6), (-0.1, -0.2))]
    agent = LLMAgent(Parrot(Message("assistant", "go"), tokens=tokens), format="text")
    agent.reset({})
    await agent.aact("x", {})
    await agent.aact("y", {})
    record = agent.record()
    assert record.usage.calls == 2
    assert record.usage.prompt_tokens == 20
    (segment,) = record.segments
    assert segment.ids == (1, 2, 3, 4, 5, 6)
    assert segment.action == (False, False, True, False, True, True)
    agent.reset({})
    assert agent.record().usage == Usage()
    assert agent.record().segments == ()


async def test_the_context_policy_cuts_what_is_sent_but_not_what_is_kept():
    backend = Parrot(Message("assistant", "go"))
    agent = LLMAgent(backend, format="text", context=ContextPolicy(max_tokens=90, keep_turns=1))
    agent.reset({"instructions": "Rules."})
    for turn in range(6):
        await agent.aact(f"{turn} " + "words " * 8, {})
    assert "earlier turns left out" in backend.requests[-1].messages[1].content
    assert len(backend.requests[-1].messages) < 12


async def test_forks_do_not_share_a_dialogue():
    backend = Parrot(Message("assistant", "go"))
    agent = LLMAgent(backend, format="text")
    agent.reset({"instructions": "A"})
    twin = agent.fork()
    twin.reset({"instructions": "B"})
    await agent.aact("x", {})
    await twin.aact("y", {})
    assert [m.content for m in backend.requests[1].messages] == ["B", "y"]
    await agent.aclose()
    assert backend.closed


async def test_acting_before_reset_is_a_clear_error():
    with pytest.raises(EpisodeStateError, match="before reset"):
        await LLMAgent(Parrot(Message("assistant", "x"))).aact("x", {})


def test_the_plain_twin_works_without_asyncio():
    agent = LLMAgent(Parrot(Message("assistant", "go")), format="text")
    agent.reset({})
    assert agent.act("x", {}).content == "go"


async def test_a_call_that_was_played_instead_of_the_models_own_stands_in_the_history():
    own = Message("assistant", '<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>')
    wrong = Message("assistant", "", (ToolCall("lok", {}),))
    backend = Parrot(own)
    agent = LLMAgent(backend, format="text")
    agent.reset({"tools": TOOLS})
    await agent.aact("start", {})
    await agent.aact("there is no such tool", {"injection": {"played": wrong.to_json()}})
    await agent.aact("you see", {})
    *_, replaced, told, kept, _ = backend.requests[2].messages
    assert (replaced.content, told.content) == (format_message(wrong), "there is no such tool")
    assert kept.content == own.content


async def test_with_native_calls_the_result_answers_the_call_that_was_played():
    own = Message("assistant", "", (ToolCall("look", {}, "c1"),))
    wrong = Message("assistant", "", (ToolCall("lok", {}, "c1"),))
    backend = Parrot(own)
    agent = LLMAgent(backend, format="tools")
    agent.reset({"tools": TOOLS})
    await agent.aact("start", {})
    result = ToolResult("lok", "no such tool", "unknown_tool", "c1")
    await agent.aact("no such tool", {"injection": {"played": wrong.to_json()}, "tool_results": (result,)})
    *_, replaced, told = backend.requests[1].messages
    assert replaced == wrong
    assert (told.role, told.name, told.tool_call_id) == ("tool", "lok", "c1")


@pytest.mark.parametrize("form", ["text", "tools"])
async def test_turns_before_the_agent_took_over_are_shown_as_its_own(form):
    calls = (ToolCall("look", {}),)
    result = ToolResult("look", "a key", "ok")
    turn = {
        "message": Message("assistant", "", calls).to_json(),
        "results": [result.to_json()],
        "observation": "you see: a key",
    }
    backend = Parrot(Message("assistant", "done"))
    agent = LLMAgent(backend, format=form)
    agent.reset({"tools": TOOLS, "opening": "Find a key.", "history": [turn]})
    await agent.aact("Find a key. What you have done so far: ...", {})
    await agent.aact("next", {})
    opening, own, told = backend.requests[0].messages
    assert opening == Message("user", "Find a key.")
    if form == "tools":
        assert own.tool_calls[0].name == "look"
        assert told == Message("tool", "a key", tool_call_id=own.tool_calls[0].id, name="look")
    else:
        assert own.content == format_message(Message("assistant", "", calls))
        assert told == Message("user", "you see: a key")
    assert [message.content for message in backend.requests[1].messages[3:]] == ["done", "next"]
