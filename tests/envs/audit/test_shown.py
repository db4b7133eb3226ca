"""What an agent is shown after a wrong action, and what was in view before it."""

import pytest

from palaestra.envs.audit import leaks
from palaestra.envs.core.text_env import Turn
from tests.envs.audit.toys import LAMPS, Lamps, judged

NUM = 14


class Doors(Lamps):
    """A note on the wall says e.g. "turn key 7013"; who looks round sees it, and every reply says what is in view."""

    is_shown_to_all = False

    def make_task(self, split, index):
        task = super().make_task(split, index)
        return type(task)(task.key, split, task.type, {**task.data, "note": f"turn key {7000 + 13 * index}"})

    def expert(self):
        yield "look round"
        yield self.task.data["note"]

    def _begin(self, task):
        self.has_looked = False
        super()._begin(task)
        return f"You are in the {LAMPS[task.data['floor']]}."

    def in_view(self):
        return f"On the wall: {self.task.data['note']}." if self.has_looked or self.is_shown_to_all else "A dark wall."

    def _act(self, action):
        text = action if isinstance(action, str) else action.content
        if text == self.task.data["note"]:
            return Turn("It opens.", 1.0, True, True)
        if text == "look round" or text.startswith("on "):
            self.has_looked = True
            return Turn(self.in_view())
        return Turn(f"Nothing happens. {self.in_view()}", action_error="Nothing happens.")

    def _save(self):
        return {"has_looked": self.has_looked, "lit": self.lit}

    def _load(self, task, state):
        self.has_looked, self.lit = state["has_looked"], state["lit"]


class TellingDoors(Doors):
    """A wrong action is told the note, wherever one looks."""

    is_shown_to_all = True


@pytest.mark.parametrize(("env", "verdict"), [(Doors, "pass"), (TellingDoors, "fail")])
def test_a_reply_may_repeat_what_was_in_view_and_nothing_else(env, verdict):
    points = judged(leaks.judge, env, NUM)
    assert points["leaks.error"].verdict == verdict, points["leaks.error"].reason


class OneDoor(Doors):
    """Has one task; all agents are told an example that happens to be its note."""

    sizes = (("test", 1),)

    def instructions(self):
        return f"Look round in the {LAMPS[0]}, then turn key 7000."


class OneDoorInATable(OneDoor):
    """The instructions have a table of notes by task."""

    def instructions(self):
        return "The notes: test/0 turn key 7000."


class DifferentDoors(OneDoor):
    """Has two tasks, and each is told its own note."""

    sizes = (("test", 2),)

    def instructions(self):
        return f"Turn a key, namely {self.task.data['note']}." if self.task is not None else ""


@pytest.mark.parametrize(
    ("env", "verdict"), [(OneDoor, "not judged"), (OneDoorInATable, "fail"), (DifferentDoors, "fail"), (Doors, "pass")]
)
def test_what_all_agents_are_told_is_not_judged_by_one_task(env, verdict):
    point = judged(leaks.judge, env, NUM)["leaks.tools"]
    assert point.verdict == verdict, point.reason
    assert verdict != "not judged" or "turn key 7000" in point.reason
