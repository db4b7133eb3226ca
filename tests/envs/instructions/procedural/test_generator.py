import functools
import hashlib
import json
from itertools import islice

import pytest

from palaestra.envs.instructions import ProceduralGenerator, check, load_published, parse, to_published
from palaestra.envs.instructions.procedural.generator import ALL_KINDS
from palaestra.errors import ConfigError, UnknownNameError
from tests.hash_seeds import outputs


@functools.cache
def tasks():
    return tuple(ProceduralGenerator(seed=7).generate(300))


def digest(seed, n):
    return hashlib.sha256(repr(list(ProceduralGenerator(seed=seed).generate(n))).encode()).hexdigest()


def test_the_witness_passes_every_constraint():
    for task in tasks():
        assert [check(one, task.witness).passed for one in task.constraints] == [True] * len(task.constraints), task.id


def test_each_near_miss_fails_its_constraint_alone():
    for task in tasks():
        assert len(task.near_misses) == len(task.constraints)
        for broken, answer in enumerate(task.near_misses):
            verdicts = [check(one, answer).passed for one in task.constraints]
            assert verdicts == [at != broken for at in range(len(verdicts))], (task.id, broken)


def test_every_sentence_is_read_back_and_told():
    for task in tasks():
        told = task.messages[0]["content"].lower()
        for constraint in task.constraints:
            for found in (parse(constraint.text, constraint.label), parse(constraint.text)):
                assert (found.kind, found.params) == (constraint.kind, constraint.params)
            assert constraint.text.lower() in told


def test_levels_patterns_and_kinds_are_all_there():
    assert {task.level for task in tasks()} == {1, 2, 3, 4}
    assert {task.pattern for task in tasks()} == {"example", "listing", "incorporation"}
    assert {one.kind for task in tasks() for one in task.constraints} == set(ALL_KINDS)
    for task in tasks():
        assert len({one.category for one in task.constraints}) == task.level
        kinds = [one.kind for one in task.constraints]
        assert len(set(kinds)) == len(kinds)
    assert len({task.id for task in tasks()}) == len(tasks())
    assert len({task.messages[0]["content"] for task in tasks()}) == len(tasks())


def test_task_n_depends_on_the_seed_and_n_alone():
    generator = ProceduralGenerator(seed=7)
    assert generator.task(5) == tasks()[5]
    assert list(islice(generator.generate(10**9), 3)) == list(tasks()[:3])
    assert list(ProceduralGenerator(seed=8).generate(3)) != list(tasks()[:3])


def test_bytes_are_the_same_whatever_the_hash_seed():
    code = (
        "import hashlib; from palaestra.envs.instructions import ProceduralGenerator as G; "
        "print(hashlib.sha256(repr(list(G(seed=3).generate(40))).encode()).hexdigest())"
    )
    assert outputs(code, ("0", "4242")) == {f"{digest(3, 40)}\n"}


def test_kinds_levels_and_patterns_can_be_chosen():
    generator = ProceduralGenerator(
        kinds=["length.words", "content.keywords"], levels={2: 1.0}, patterns={"incorporation": 1.0}
    )
    for task in generator.generate(20):
        assert {one.kind for one in task.constraints} == {"length.words", "content.keywords"}
        assert (task.level, task.pattern) == (2, "incorporation")


def test_tasks_can_be_written_as_published_files(tmp_path):
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps(to_published(tasks()[:20])), encoding="utf-8")
    for ours, read in zip(tasks(), load_published(file), strict=False):
        assert [(one.kind, one.params) for one in read.constraints] == [(one.kind, one.params) for one in ours.constraints]
        assert (read.id, read.level, read.pattern, read.messages) == (ours.id, ours.level, ours.pattern, ours.messages)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"kinds": ["length.word"]}, UnknownNameError, r"length\.words"),
        ({"kinds": []}, ConfigError, "at least one kind"),
        ({"levels": {5: 1.0}}, ConfigError, "1 to 4"),
        ({"levels": {1: 0.0}}, ConfigError, "above it"),
        ({"patterns": {"song": 1.0}}, UnknownNameError, "song"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, said):
    with pytest.raises(error, match=said):
        ProceduralGenerator(**arguments)
