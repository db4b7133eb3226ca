import json

import gymnasium

import palaestra  # noqa: F401  (registers the environments)
from palaestra.agents.report.injected import injected_blocks
from palaestra.envs import InjectErrors
from palaestra.types import plain


def blocks_of(**settings):
    """Return the blocks of every step of an expert's episode, from infos as a store gives them back."""
    env = InjectErrors(gymnasium.make("palaestra/Desk-v0", difficulty="hard"), **settings)
    env.reset(seed=0)
    found = []
    for action in env.expert():
        *_, terminated, truncated, info = env.step(action)
        found.append(injected_blocks(json.loads(json.dumps(plain(info)))))
        if terminated or truncated:
            break
    return found


def test_the_step_of_an_error_shows_the_right_call_and_the_one_that_was_run():
    first, second, *_ = blocks_of(mode="slip", plan={"step": 1, "label": "parameters_key_error", "kind": "drop"})
    (error,), (answer,) = first, second
    assert (error.title, error.verdict, error.tags) == ("Injected error", "parameters_key_error", ("slip", "drop"))
    titles = [title for title, _ in error.details]
    assert titles == ["Right call", "Run instead of it", "Result"]
    assert error.details[0][1].startswith("add_note")
    assert answer.verdict == "correction without reflection"
    assert "recovered after 1 step" in answer.notes


def test_every_failure_of_an_outage_is_marked():
    steps = blocks_of(mode="outage", plan={"step": 1, "label": "timeout", "persistence": 2})
    titles = [[block.title for block in blocks] for blocks in steps[:3]]
    assert titles == [["Injected error"], ["Injected error again"], ["Answer to the injected error"]]


def test_the_last_step_says_what_came_of_it():
    *_, last = blocks_of(mode="slip", plan={"step": 1, "label": "parameters_key_error"})
    assert [(block.title, block.verdict, block.mark) for block in last] == [("In the end", "recovered after 1 step", "good")]


def test_an_episode_without_its_error_says_why():
    *_, last = blocks_of(mode="outage", plan={"step": 30, "label": "timeout"})
    assert last[0].title == "No error was injected"
    assert "before step 30" in last[0].notes[0]


def test_other_steps_have_no_blocks():
    assert injected_blocks({"score": 0.0}) == []
    assert injected_blocks({"injection": None, "critique": "text of another environment"}) == []
