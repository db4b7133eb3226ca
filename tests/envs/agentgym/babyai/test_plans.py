"""Plans in the view against the published search, written down slowly: a queue whose entries keep their last discoverer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.agentgym.babyai.plans import FORWARD, LEFT, RIGHT, Choices, find_way
from palaestra.envs.agentgym.babyai.view import Seen, View

START = (3, 6)
STEPS = ((0, -1), (1, 0), (0, 1), (-1, 0))


def slow_way(free, target, arrive):
    queue, done, graph = [(START, 0)], set(), {}
    while queue:
        cell, heading = state = queue.pop(0)
        done.add(state)
        step = STEPS[heading]
        if cell == target if arrive else (cell[0] + step[0], cell[1] + step[1]) == target:
            way = []
            while state != (START, 0):
                state, primitive = graph[state]
                way.append(primitive)
            return way[::-1]
        for primitive, child in (
            (FORWARD, ((cell[0] + step[0], cell[1] + step[1]), heading)),
            (LEFT, (cell, (heading - 1) % 4)),
            (RIGHT, (cell, (heading + 1) % 4)),
        ):
            if child not in done and (primitive != FORWARD or child[0] in free):
                queue.append(child)
                graph[child] = (state, primitive)
    return None


cells = st.tuples(st.integers(0, 6), st.integers(0, 6))


@given(st.sets(cells, max_size=20), cells.filter(lambda cell: cell != START), st.booleans())
@settings(max_examples=150, deadline=None)
def test_ways_are_those_of_the_published_search(blocked, target, arrive):
    free = {(column, row) for column in range(7) for row in range(7)} - blocked
    bits = sum(1 << (row * 8 + column) for column, row in free)
    if not arrive:
        bits &= ~(1 << (target[1] * 8 + target[0]))
        free.discard(target)
    wanted = slow_way(free, target, arrive)
    if wanted is None:
        with pytest.raises(ValueError, match="no way"):
            find_way(bits, target[1] * 8 + target[0], arrive=arrive)
    else:
        assert find_way(bits, target[1] * 8 + target[0], arrive=arrive) == wanted


@given(st.lists(cells.filter(lambda c: c != START), max_size=14, unique=True), st.integers(0, 3), st.integers(0, 2**49 - 1))
@settings(max_examples=100, deadline=None)
def test_what_is_listed_has_a_way_and_what_has_a_way_is_listed(places, heading, walls):
    kinds = ("ball", "key", "box", "door")
    objects = sorted(
        (
            Seen(kinds[i % 4], f"red {'open ' if i % 4 == 3 else ''}{kinds[i % 4]}", c, r, abs(c - 3) + 6 - r)
            for i, (c, r) in enumerate(places)
        ),
        key=lambda seen: (seen.distance, seen.row, seen.column),
    )
    wall_bits = 0
    for row in range(7):
        for column in range(7):
            if walls >> (row * 7 + column) & 1 and (column, row) not in places and (column, row) != START:
                wall_bits |= 1 << (row * 8 + column)
    view = View(tuple(objects), wall_bits, None, False, "", heading, ())
    for is_fixed in (False, True):
        choices = Choices(view, is_fixed=is_fixed)
        listed = {action.target for action in choices.actions.values() if action.verb == "go to"}
        for seen in objects:
            try:
                find_way(choices.free, seen.row * 8 + seen.column, arrive=False)
                has_way = True
            except ValueError:
                has_way = False
            assert (seen in listed) == has_way
        for text, action in choices.actions.items():
            assert choices.plan(action) is not None
            if is_fixed and action.verb in ("go to", "pickup"):
                alike = [seen for seen in objects if seen.name == action.target.name]
                assert text.endswith(f" {alike.index(action.target) + 1}")
