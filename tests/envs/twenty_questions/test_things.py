import hashlib

import numpy as np
import pytest

from palaestra.envs.twenty_questions.tasks import MAX_THINGS, question_tasks
from palaestra.envs.twenty_questions.things import Question, describe, ontology, truth_table, yes_mask
from palaestra.errors import ConfigError, UnknownNameError


def test_a_few_hundred_things_differ_in_name_and_facts():
    things = ontology().things
    assert len(things) == 416
    assert len({thing.name for thing in things}) == len(things)
    assert len({describe(thing) for thing in things}) == len(things)


def test_the_things_are_the_same_for_good():
    text = "\n".join(f"{thing.name}: {describe(thing)}" for thing in ontology().things)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "51442f62a4ce1f84"


def test_no_thing_belongs_to_two_splits():
    train, test = ({thing.name for thing in ontology().of_split(split)} for split in ("train", "test"))
    assert not train & test
    assert (len(train), len(test)) == (312, 104)
    for split, own in (("train", train), ("test", test)):
        kinds = {ontology().thing(name).kinds[0] for name in own}
        assert len(kinds) == 13  # every kind is in both
        for i in range(50):
            task = question_tasks(16).at(split, i)
            assert set(task.data["things"]) <= own
            assert len(set(task.data["things"])) == 16
            assert task.data["secret"] in task.data["things"]


def test_facts_are_what_the_kinds_allow():
    for thing in ontology().things:
        assert thing.kinds[-1] in ("living thing", "made thing")
        assert bool(thing.material) == (thing.kinds[-1] == "made thing")
        if "bird" in thing.kinds:
            assert {"wings", "beak"} <= thing.has
        if "fish" in thing.kinds:
            assert "swim" in thing.can
            assert thing.has & {"scales", "bare skin"}


def test_truths_are_read_off_the_facts():
    thing = next(thing for thing in ontology().things if thing.kinds[0] == "bird" and thing.size == 1)
    for attribute, relation, value, is_true in [
        ("kind", "=", "bird", True),
        ("kind", "=", "animal", True),
        ("kind", "=", "plant", False),
        ("size", "=", "small", True),
        ("size", ">", "fist", True),
        ("size", ">", "cat", False),
        ("size", "<", "cat", True),
        ("size", "<", "fist", False),
        ("size", "<", "house", True),
        ("has", "=", "wings", True),
        ("has", "=", "wheels", False),
        ("name", "=", thing.name, True),
        ("name", "=", "nobody", False),
        ("colour", "=", thing.colour, True),
        ("place", "=", thing.place, True),
        ("material", "=", "wood", False),
    ]:
        assert Question(attribute, relation, value).holds(thing) is is_true, (attribute, relation, value)


def test_every_question_tells_some_things_from_others_and_the_table_agrees():
    table = truth_table()
    assert table.shape == (416, len(ontology().questions))
    assert table.any(axis=0).all()
    assert not table.all(axis=0).any()
    names = tuple(thing.name for thing in ontology().things[:20])
    for column, question in enumerate(ontology().questions[:40]):
        bits = [bool(yes_mask(names, question) >> i & 1) for i in range(20)]
        assert bits == table[:20, column].tolist()


def test_bigger_and_smaller_are_opposites():
    for yardstick in ontology().yardsticks:
        bigger, smaller = Question("size", ">", yardstick), Question("size", "<", yardstick)
        assert all(bigger.holds(thing) != smaller.holds(thing) for thing in ontology().things)


@pytest.mark.parametrize("things", [1, 0, MAX_THINGS + 1, True, "8", 2.0])
def test_an_impossible_number_of_things_is_refused(things):
    with pytest.raises(ConfigError, match="expected an integer from 2 to 96"):
        question_tasks(things)


def test_an_unknown_thing_is_refused():
    with pytest.raises(UnknownNameError, match="Unknown thing 'teapot'"):
        ontology().thing("teapot")


def test_secrets_are_spread_over_the_list():
    tasks = question_tasks(4)
    places = [tasks.at("train", i).data["things"].index(tasks.at("train", i).data["secret"]) for i in range(400)]
    assert min(np.bincount(places, minlength=4)) > 70
