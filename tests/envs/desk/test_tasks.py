import json
import re

import pytest

from palaestra.envs.core.snapshots import digest
from palaestra.envs.desk.env import DeskEnv
from palaestra.envs.desk.intents import EASY_INTENTS, INTENTS
from palaestra.envs.desk.scene import Clash, Desk, request_data
from palaestra.envs.desk.tasks import LEVELS, NUM_TEST_TASKS, desk_tasks, make_task, split_of
from palaestra.envs.desk.tools import EASY_TOOLS
from palaestra.envs.desk.world import DeskWorld
from palaestra.errors import UnknownNameError
from palaestra.models.tiny_lm import train_tokenizer
from tests.hash_seeds import outputs

FIRST = {(level, split): desk_tasks(level).split(split).first(200) for level in LEVELS for split in ("train", "test")}


KNOWN = {  # of the first 20 test tasks; a change here is another version of the environment
    "easy": "d01860b312456ad5e9bc04589440ac07",
    "normal": "81550a79ee064bd4b460135b81511b64",
    "hard": "6a6738eda968b5017cf8bf81ba271fb4",
    "tiny": "15fd3de8f581512a20450366519fd651",
}


def test_every_intent_has_at_least_four_phrasings_that_name_all_its_slots():
    phrasings = request_data()["phrasings"]
    assert set(phrasings) == set(INTENTS)
    assert len(INTENTS) >= 20
    for intent in INTENTS:
        assert len(set(phrasings[intent])) >= 4
    for (_, _), tasks in FIRST.items():
        for task in tasks:
            for _, slots in task.data["goals"]:
                for key, value in slots.items():
                    assert key == "date" or str(value) in task.data["request"]


def test_no_goal_is_in_both_splits():
    goals = {
        split: {
            json.dumps(goal, sort_keys=True)
            for (_, s), tasks in FIRST.items()
            if s == split
            for task in tasks
            for goal in task.data["goals"]
        }
        for split in ("train", "test")
    }
    assert len(goals["test"]) > 500
    assert goals["train"].isdisjoint(goals["test"])


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_goal_belongs_to_its_split_by_its_own_hash(split):
    for level in LEVELS:
        for task in FIRST[level, split]:
            assert {split_of(intent, slots) for intent, slots in task.data["goals"]} == {split}


def test_all_intents_occur_and_easy_tasks_need_easy_tools_only():
    assert {task.type for task in FIRST["normal", "train"]} == set(INTENTS)
    for task in FIRST["easy", "train"] + FIRST["easy", "test"]:
        assert task.type in EASY_INTENTS
        assert {step["name"] for step in task.data["plan"]} <= set(EASY_TOOLS)
        assert len(DeskWorld.from_json(task.data["world"]).events) <= 3


def names_of(task):
    """Titles, names and the part of every address before the @, on the desk and in the request."""
    world = DeskWorld.from_json(task.data["world"])
    found = [e.title for e in world.events.values()] + [n.title for n in world.notes.values()]
    found += [text for c in world.contacts.values() for text in (c.name, c.email.partition("@")[0])]
    return [*found, *(slots[key] for _, slots in task.data["goals"] for key in ("title", "name") if key in slots)]


def test_tiny_tasks_are_easy_ones_whose_names_are_single_words_of_one_list():
    words = request_data()["words"]
    pool = {word for table in ("topics", "first_names", "last_names") for word in words[table]}
    for split in ("train", "test"):
        tasks = FIRST["tiny", split]
        assert {task.type for task in tasks} == set(EASY_INTENTS)
        for task in tasks:
            assert {step["name"] for step in task.data["plan"]} <= set(EASY_TOOLS)
            assert set(names_of(task)) <= pool
            assert {contact["phone"] for contact in task.data["world"]["contacts"]} <= {""}
            for _, slots in task.data["goals"]:
                assert all(f"'{slots[key]}'" in task.data["request"] for key in ("title", "name") if key in slots)
        assert {name for task in tasks for name in names_of(task)} == pool  # each of them is learned and asked for


def test_the_tiny_tokenizer_reads_a_name_of_the_tiny_desk_as_the_same_single_token_everywhere():
    pytest.importorskip("tokenizers")
    env = DeskEnv(difficulty="tiny")
    episodes = []
    for i in range(400):
        texts = [env.reset(seed=0, options={"task": f"train/{i}"})[0]]
        for action in env.expert():
            texts += [action, env.step(action)[0]]
        episodes.append((names_of(env.task), texts))
    tokenizer = train_tokenizer([text for _, texts in episodes for text in texts], vocab_size=1536)
    hits = []
    for names, texts in episodes:
        for name in set(names):
            for text in texts:
                read = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
                hits += [match.span() in read for match in re.finditer(rf"\b{name}\b", text)]
    assert len(hits) > 1000
    assert sum(hits) > 0.98 * len(hits)


def test_difficulties_that_came_first_keep_their_tasks():
    assert list(LEVELS)[:3] == ["easy", "normal", "hard"]  # the place of a difficulty is part of the seed
    digests = {level: digest([make_task(level, "test", i).data for i in range(20)]) for level in LEVELS}
    assert digests == KNOWN


def test_hard_requests_join_two_or_three_different_intents_with_a_question_last():
    for task in FIRST["hard", "train"]:
        names = [name for name, _ in task.data["goals"]]
        assert len(names) == len(set(names))
        assert task.type == f"{len(names)}-parts"
        assert len(names) in (2, 3)
        assert not any(INTENTS[name].is_question for name in names[:-1])
        assert INTENTS[names[-1]].is_question == ("answer" in task.data)


def test_many_tasks_need_information_first():
    plans = [task.data["plan"] for task in FIRST["normal", "train"]]
    lookups = ("find_events", "find_contacts", "search_notes", "list_events")
    assert sum(len(plan) > 1 and plan[0]["name"] in lookups for plan in plans) > 100


def test_what_a_request_names_is_unique_on_the_desk():
    for tasks in FIRST.values():
        for task in tasks:
            world = DeskWorld.from_json(task.data["world"])
            names = [e.title for e in world.events.values()] + [n.title for n in world.notes.values()]
            names += [c.name for c in world.contacts.values()]
            assert len({name.casefold() for name in names}) == len(names)


def test_questions_change_nothing_and_all_else_does():
    for task in FIRST["normal", "train"]:
        is_changed = DeskWorld.from_json(task.data["world"]).content() != task.data["content"]
        assert is_changed == ("answer" not in task.data)


def test_a_task_is_made_alone_and_the_same_in_every_process():
    code = (
        "from palaestra.envs.desk.tasks import make_task; from palaestra.envs.core.snapshots import digest; "
        "levels = ('easy', 'normal', 'hard', 'tiny'); splits = ('train', 'test'); "
        "print(digest([make_task(d, s, i).data for d in levels for s in splits for i in (7, 3)]))"
    )
    assert len(outputs(code)) == 1
    assert make_task("hard", "train", 7).data == make_task.__wrapped__("hard", "train", 7).data


def test_tasks_are_plain_json_and_found_by_key():
    for level in LEVELS:
        tasks = desk_tasks(level)
        assert tasks.find("test/499").key == "test/499"
        assert tasks.size("train") is None
        assert tasks.size("test") == NUM_TEST_TASKS
        for task in FIRST[level, "train"][:20]:
            assert json.loads(json.dumps(task.data)) == task.data
        with pytest.raises(UnknownNameError):
            tasks.find("test/500")


def test_test_tasks_are_not_the_same_over_and_over():
    for level in LEVELS:
        requests = {json.dumps([task.data["goals"], task.data["world"]]) for task in FIRST[level, "test"]}
        assert len(requests) == 200


def test_an_unknown_difficulty_is_refused():
    with pytest.raises(UnknownNameError, match=r"Unknown difficulty 'eazy'\. Did you mean 'easy'"):
        desk_tasks("eazy")


@pytest.mark.parametrize("index", [1425643714, 1527207855, 494457587])  # of seeds 75, 2400 and 8586
def test_a_day_without_a_free_stretch_is_drawn_again(index):
    task = make_task("normal", "train", index)
    assert task.data["plan"]
    assert make_task.__wrapped__("normal", "train", index) == task


def test_a_refused_call_and_a_search_that_finds_nothing_are_dead_ends():
    desk = Desk(DeskWorld())
    with pytest.raises(Clash, match=r"move_event.*was refused"):
        desk.call("move_event", event_id="E9", date="2031-03-04", start="09:00")
    with pytest.raises(Clash, match="does not find it"):
        desk.event("Garden auction")
    assert [step["name"] for step in desk.plan] == ["find_events"]
