"""The room in characters."""

from palaestra.envs.agentgym.alfworld.picture import draw
from tests.envs.agentgym.alfworld.toys import toy_world


def test_a_picture_shows_places_doors_contents_and_the_hand():
    world = toy_world()
    assert draw(world) == (
        "@ in the middle of the room\n  safe 1  [closed] book 1\n  shelf 1\n  shelf 2          book 2\nIn hand: nothing"
    )
    for command in ("go to shelf 2", "take book 2 from shelf 2", "go to safe 1", "open safe 1"):
        world.act(command)
    assert draw(world) == "@ safe 1  [open]   book 1\n@ shelf 1\n  shelf 2\nIn hand: book 2"


def test_cabinets_are_sorted_by_number():
    from tests.envs.agentgym.alfworld.toys import made_world

    lines = draw(made_world("pick_heat_then_place_in_recep")).splitlines()
    numbers = [int(line.split()[1]) for line in lines if line.strip().startswith("cabinet")]
    assert numbers == sorted(numbers)
