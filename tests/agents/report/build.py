"""Runs made by hand for the report's tests: known numbers, every kind of ending, and text that tries to be markup."""

from __future__ import annotations

from palaestra.agents.store.store import RunStore
from palaestra.types import EpisodeError, Message, Outcome, Segment, Step, ToolCall, Trajectory, TurnSpan, Usage

HOSTILE = (
    "</script><script>document.title='OWNED'</script>",
    "<img src=x onerror=\"document.title='OWNED'\">",
    "\"'><svg onload=document.title='OWNED'>",
    "<!--<script>",
    "{{ 7 * 7 }}\u2028\u2029",
)
ENV_ID = "palaestra/TextCraft-v0"
INSTRUCTIONS = "You craft items from recipes. Commands: get N item, craft N item using N item, inventory."


def step(observation, action, reward=0.0, **info):
    message = action if isinstance(action, Message) else Message("assistant", action)
    done = bool(info.pop("done", False))
    return Step(observation, message, reward, terminated=done, info={"score": reward, "success": reward > 0, **info})


def crafting(number, *, agent="cloned", solved=True, error=None, depth=2, key=None, extra="", truncated=False):
    """An episode of a crafting game."""
    commands = "craft 4 oak planks using 1 oak log\ncraft 4 stick using 2 oak planks"
    goal = f"Crafting commands:\n{commands}\n\nGoal: craft stick {number}.{extra}"
    steps = [
        step(goal, "get 1 oak log", action_error=""),
        step("Got 1 oak log", "craft 4 oak planks using 1 oak log"),
        step(
            "Crafted 4 oak planks",
            "craft 9 stick",
            action_error="There is no recipe for 9 stick; craft 4 stick using 2 oak planks.",
        ),
        step("Could not execute craft 9 stick", "craft 4 stick using 2 oak planks", 1.0 if solved else 0.0, done=solved),
    ]
    outcome = Outcome(1.0 if solved else 0.0, solved, "success" if solved else "max_rounds" if truncated else "failure")
    if error is not None:
        steps, outcome = steps[:2], Outcome(error=error)
    ids = tuple(range(40))
    spans = tuple(TurnSpan(5 + 10 * i, 9 + 10 * i, i) for i in range(len(steps)))
    action = tuple(any(s.start <= i < s.end for s in spans) for i in range(40))
    return Trajectory(
        episode_id=f"test-{number}-0",
        env_id=ENV_ID,
        task={"key": key or f"test/{number}", "split": "test", "type": f"depth-{depth}"},
        seed=number,
        agent=agent,
        instructions=INSTRUCTIONS,
        steps=tuple(steps),
        final_observation="Crafted 4 stick" if solved else "Nothing happens",
        outcome=outcome,
        usage=Usage(calls=len(steps), prompt_tokens=812, completion_tokens=16, model_s=0.4, env_s=0.002),
        segments=(Segment(ids, action, tuple(-0.5 * a for a in action), tuple(0 if a else -1 for a in action), spans),),
        max_turns=12,
    )


def office(number, *, agent="model", hostile=""):
    """An episode of a tool world; `hostile` goes into every place that a model or a task can write to."""
    call = ToolCall("find_events", {"query": "review", "days": [1, 2], "note": hostile}, "c1")
    parameters = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
    function = {"name": "find_events", "description": f"Find events.{hostile}", "parameters": parameters}
    tools = ({"type": "function", "function": function},)
    steps = (
        step(
            f"Move the review to Friday. {hostile}",
            Message("assistant", f"I look. {hostile}", (call,), reasoning=f"Hm {hostile}"),
        ),
        step(
            f'[{{"id": 3}}] {hostile}',
            Message("assistant", "", (ToolCall("move_event", hostile or '{"id": 3', "c2"),)),
            tool_results=[
                {
                    "name": "move_event",
                    "status": "invalid_arguments",
                    "content": f"arguments are no JSON {hostile}",
                    "call_id": "c2",
                }
            ],
            action_error=f"arguments are no JSON {hostile}",
        ),
        step("Mend the arguments.", f"done {hostile}", 1.0, done=True, reward_parts={"state": 0.75, "answer": 0.25}),
    )
    return Trajectory(
        episode_id=f"office/{number}{hostile}",
        env_id="palaestra/Desk-v0",
        task={"key": f"desk/{number}{hostile}", "split": "test", "type": f"move{hostile}"},
        agent=f"{agent}{hostile}",
        instructions=f"You run a desk. {hostile}",
        tools=tools,
        steps=steps,
        final_observation=f"The end {hostile}",
        outcome=Outcome(1.0, True, "success"),
    )


def change(path, old, new):
    return {"op": "set", "path": path, "old": old, "new": new}


def scored(accuracy, success, side_effects, nothing):
    return {
        "accuracy": accuracy,
        "f1_positive": accuracy,
        "f1_negative": 0.99,
        "request_success": success,
        "loose_success": success,
        "refusal": None,
        "side_effects": side_effects,
        "incomparable": 0,
        "do_nothing": {
            "accuracy": nothing,
            "f1_positive": nothing,
            "f1_negative": 1.0,
            "request_success": nothing == 1.0,
            "side_effects": 0,
        },
    }


def cockpit(number=0, *, hostile=""):
    """An episode of three requests in a car: served, served badly, and one that the car does not allow."""
    seat = "seat.driver's seat.heater."
    door = "door.doors.passenger seat."
    on, level = change(f"{seat}is_on", False, True), change(f"{seat}temperature_level", 1, 3)
    opened, status = change(f"{door}angle", 0, 30), change(f"{door}status", "closed", "open")
    volume = change("environment.volume", 50, 80)
    results = [
        {
            "index": 0,
            "request": f"It is cold, warm my seat to level three. {hostile}",
            "kinds": ["act", f"speaker{hostile}"],
            "modules": ["seat"],
            "calls": 2,
            "failed_calls": 1,
            "writes": 0,
            "changed": [on, level],
            "expected": [on, level],
            "missing": [],
            "wrong": [],
            "side_effects": [],
            "scores": scored(1.0, True, 0, 0.0),
        },
        {
            "index": 1,
            "request": f"Open the passenger's door a bit and tell me the time. {hostile}",
            "kinds": ["act"],
            "modules": ["door"],
            "calls": 0,
            "failed_calls": 0,
            "writes": 2,
            "changed": [change(f"{door}angle", 0, 100), volume],
            "expected": [opened, status, {"op": "add", "path": "music._tracks[3].title", "new": f"Clarity {hostile}"}],
            "missing": [f"{door}status", "music._tracks[3].title"],
            "wrong": [f"{door}angle"],
            "side_effects": ["environment.volume"],
            "scores": scored(0.0, False, 1, 0.0),
        },
        {
            "index": 2,
            "request": "Open the trunk.",
            "kinds": ["refuse"],
            "modules": ["trunk"],
            "calls": 0,
            "failed_calls": 0,
            "writes": 0,
            "changed": [],
            "expected": [],
            "missing": [],
            "wrong": [],
            "side_effects": [],
            "scores": {**scored(1.0, True, 0, 1.0), "refusal": True},
        },
    ]
    code = "vw.seat.carcontrol_carSeat_heater_switch(switch=True)"
    writes = "vw['door']['doors']['passenger seat']['angle'] = 100\nvw['environment']['volume'] = 80"
    steps = (
        step("Request 1 of 3: ...", f"I switch it on first.\n```python\n{code}\n```"),
        step(
            f"{code} -> ok",
            Message("assistant", "", (ToolCall("seat__heater_level", {"level": 3, "note": hostile}, "c1"),)),
            1 / 3,
            request_result=results[0],
        ),
        step("Request 2 of 3: ...", f"```python\n{writes}\n```", request_result=results[1]),
        step("Request 3 of 3: ...", "The trunk is locked, I cannot open it.", 1 / 3, done=True, request_result=results[2]),
    )
    return Trajectory(
        episode_id=f"cockpit/{number}",
        env_id="palaestra/VehicleWorld-v0",
        task={"key": f"car/{number}", "split": "test", "type": "M-M"},
        agent="model",
        instructions="You serve requests in a car.",
        steps=steps,
        final_observation="All requests are over.",
        outcome=Outcome(2 / 3, False, "failure"),
        usage=Usage(
            calls=4, retries=2, prompt_tokens=9000, cached_tokens=6400, completion_tokens=240, model_s=3.1, env_s=0.01
        ),
    )


def broken(number, boundary="model", agent="cloned", text=""):
    """An episode that an error ended."""
    error = EpisodeError(boundary, "ModelError", f"The server answered 500. {text}", f"Traceback ...\n{text}")
    return crafting(number, agent=agent, error=error)


def add_evaluation(store: RunStore, *, n=40, run_id="eval-1", agents=("random", "expert", "cloned", "trained")):
    """Four arms with known success rates: 0, 1, 1/2 and all but each tenth."""
    store.create_run({"kind": "evaluate", "env_id": ENV_ID, "split": "test", "n": n, "env_kwargs": {"max_turns": 12}}, run_id)
    rules = {
        "random": lambda i: False,
        "expert": lambda i: True,
        "cloned": lambda i: i % 2 == 0,
        "trained": lambda i: i % 10 > 0,
    }
    for agent in agents:
        for i in range(n):
            trajectory = crafting(i, agent=agent, solved=rules[agent](i), depth=2 + i % 3, truncated=i % 4 == 1)
            if agent == "cloned" and i in (7, 19):
                trajectory = broken(i, agent=agent)
            store.add(run_id, with_id(trajectory, f"{agent}/{i}"))
    store.set_status(run_id, "finished")
    return run_id


def add_training(store: RunStore, run_id="train-1", steps=120):
    """A training run with logged curves and a horizon that grows twice."""
    import math
    import random

    rng = random.Random(run_id)
    store.create_run(
        {
            "name": "textcraft tiny",
            "kind": "train",
            "arms": ["untrained", "trained"],
            "recipe": {"phases": ["sft", "grpo"], "grpo": {"lr": 0.0003}},
        },
        run_id,
    )
    for s in range(1, 61):
        store.log_metrics(run_id, s, {"sft/loss": 2.5 * math.exp(-s / 20) + 0.2 * rng.random()})
    for s in range(1, steps + 1):
        values = {
            "grpo/success": min(1.0, max(0.0, 0.35 + 0.5 * s / steps + rng.gauss(0, 0.08))),
            "grpo/loss": 0.02 * rng.gauss(0, 1),
            "grpo/kl": 0.001 * s + 0.01 * rng.random(),
            "grpo/entropy": 1.2 - 0.006 * s + 0.05 * rng.random(),
            "grpo/turns_mean": 5 + 2 * s / steps + rng.random(),
            "grpo/horizon": (4, 8, 12)[min(2, 3 * (s - 1) // steps)],
        }
        if s % 20 == 0:
            rate = 0.4 + 0.4 * s / steps
            values |= {"grpo/test_success": rate, "grpo/test_success_low": rate - 0.09, "grpo/test_success_high": rate + 0.08}
        store.log_metrics(run_id, s, values)
    for arm, solves in (("untrained", lambda i: i % 9 == 0), ("trained", lambda i: i % 5 > 0)):
        store.create_run({"kind": "evaluate", "arm": arm, "training_run": run_id}, f"{run_id}-{arm}")
        for i in range(20):
            store.add(f"{run_id}-{arm}", crafting(i, agent=arm, solved=solves(i), depth=2 + i % 3))
        store.set_status(f"{run_id}-{arm}", "finished")
    store.set_status(run_id, "finished")
    return run_id


def with_id(trajectory: Trajectory, episode_id: str) -> Trajectory:
    """The same episode under another id."""
    data = trajectory.to_json()
    return Trajectory.from_json({**data, "episode_id": episode_id})
