import pytest

from palaestra.envs.desk.goal import is_right_answer, mending_plan
from palaestra.envs.desk.tools import DeskTools
from palaestra.envs.desk.world import DeskWorld
from palaestra.envs.tools import Toolkit
from palaestra.types import ToolCall


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("m.lind@example.org", True),
        ("Her address is M.Lind@Example.org.", True),
        ("am.lind@example.org", False),
        ("m.lind@example.org or i.ito@example.org", False),
        ("", False),
        ("Done.", False),
    ],
)
def test_an_answer_contains_the_gold_one_and_no_other(answer, is_right):
    assert is_right_answer(answer, gold="m.lind@example.org", is_exact=False, others=["i.ito@example.org"]) is is_right


@pytest.mark.parametrize(
    ("answer", "is_right"), [("3", True), (" 3. ", True), ("13", False), ("3 or 4", False), ("three", False)]
)
def test_an_exact_answer_stands_alone(answer, is_right):
    assert is_right_answer(answer, gold="3", is_exact=True, others=[]) is is_right


def test_any_desk_can_be_mended_into_any_other():
    def desk(event, start, note, phone):
        world = DeskWorld()
        world.add_event(event, "2031-03-05", start, "11:00", "Dock 4", ["a@x.org"])
        world.add_note("Mill", note)
        world.add_contact("Mara Lind", "m@x.org", phone)
        return world

    world, goal = desk("A", "10:00", "rope", "1"), desk("B", "10:30", "ink", "2")
    goal.add_note("More", "text")
    toolkit = Toolkit(DeskTools(world), world=world)
    for step in mending_plan(world, goal.content()):
        assert toolkit.call(ToolCall(step["name"], step["arguments"])).status == "ok"
    assert world.content() == goal.content()
    assert mending_plan(world, goal.content()) == []
