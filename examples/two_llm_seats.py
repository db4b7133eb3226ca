"""Two language models play twenty questions: one asks, the other answers; offline, with scripted models.

With real ones: policy = make_agent("openai:MODEL"), answerer = make_agent("http://HOST:PORT/v1#MODEL").
"""

import re

import palaestra  # registers the environments  # noqa: F401
from palaestra.agents import EpisodePlan, LLMAgent, RolloutEngine, ScriptedBackend, Seats

FACTS = ("animal", "plant", "bird", "fish", "large", "red", "green", "blue", "grey", "black", "white", "brown", "yellow")


def ask(request):
    """Ask about the first facts in turn, then name the things that fit, as a careful small model would."""
    asked = [message.content for message in request.messages if message.role == "assistant"]
    if len(asked) < len(FACTS):
        fact = FACTS[len(asked)]
        return (
            f"Is it {'an' if fact == 'animal' else 'a'} {fact}?"
            if fact in ("animal", "plant", "bird", "fish")
            else f"Is it {fact}?"
        )
    things = re.findall(r"^- (\w+):", request.messages[1].content, re.MULTILINE)
    return f"Is it the {things[len(asked) - len(FACTS)]}?"


def answer(request):
    """Look the fact up in what the seat was told at the start."""
    told, question = request.messages[1].content.splitlines()[0], request.messages[-1].content.splitlines()[-1]
    fact = re.search(r"(\w+)\?$", question)
    return "Yes." if fact and re.search(rf"\b{fact[1]}\b", told) else "No."


policy = LLMAgent(ScriptedBackend(ask, name="asker-model"))
answerer = LLMAgent(ScriptedBackend(answer, name="answerer-model"))
plan = EpisodePlan("game", "palaestra/TwentyQuestions-v1", {"things": 6}, task_key="test/3", seed=0)
[game] = RolloutEngine().collect([plan], Seats(policy, answerer=answerer))

for step in game.steps:
    print(f"{step.seat:9} {step.action.content}")
print("found:", game.outcome.success, "| metrics:", {name: round(value, 2) for name, value in game.outcome.metrics.items()})

own = game.of_seat("answerer")  # what the answerer lived through, as if it had been alone
print(f"{own.agent}: {own.num_turns} answers, {own.usage.calls} calls, reward {own.return_:.2f}")
print("calls of both:", game.total_usage.calls)
