import copy
import pickle
import warnings

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs import FixedTasks, GeneratedTasks, Task
from palaestra.envs.core.task_aliases import checked_aliases, is_bare_number, mapping_of, mappings
from palaestra.errors import ConfigError, UnknownNameError, UsageError
from tests.envs.miniature import COUNTER_ID, CounterEnv, make_task, register_miniatures

register_miniatures()

ALIASES = {"upstream#160": "train/3", "upstream#7": "test/1", "agenteval#160": "test/0"}


class PublishedCounterEnv(CounterEnv):
    def __init__(self, **options):
        super().__init__(**options)
        self.tasks = GeneratedTasks(make_task, {"train": 5, "test": 5}, aliases=ALIASES)


@pytest.fixture
def env():
    return PublishedCounterEnv()


@pytest.mark.parametrize("alias", ALIASES)
def test_reset_takes_a_published_id_and_shows_the_key(env, alias):
    key = ALIASES[alias]
    by_id = env.reset(seed=1, options={"task": alias})
    assert by_id[1]["task"]["key"] == key
    assert by_id == env.reset(seed=1, options={"task": key})
    assert env.reset(options={"task": alias, "split": key.split("/")[0]})[1]["task"]["key"] == key
    assert (alias in env.tasks, env.tasks.resolve(alias)) == (True, env.tasks.find(key))


def test_the_split_of_a_published_id_is_its_tasks(env):
    with pytest.raises(UsageError, match=r"Task 'upstream#7' belongs to split 'test', not 'train'"):
        env.reset(options={"task": "upstream#7", "split": "train"})


@pytest.mark.parametrize("number", [160, "160", 0, np.int64(7), "007"])
def test_an_integer_alone_names_nothing_and_the_mappings_are_told(env, number):
    env.reset(seed=0)
    before = env.state_hash()
    with pytest.raises(UsageError, match=r"an integer means another task in each published mapping.*agenteval, upstream"):
        env.reset(options={"task": number})
    assert env.state_hash() == before
    with pytest.raises(UsageError, match="This task set has no published mapping; give a key"):
        CounterEnv().reset(options={"task": number})


def test_an_integer_that_is_a_key_is_taken_as_the_key_with_a_warning_where_it_could_mean_something_else():
    published = FixedTasks([Task("160", "train"), Task("b", "train")], aliases={"upstream#160": "b"})
    with pytest.warns(UserWarning, match="'160' is taken as the key of a task.*there is: upstream"):
        assert published.resolve("160").key == "160"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert published.resolve("upstream#160").key == "b"
        assert FixedTasks([Task("160", "train")]).resolve("160").key == "160"  # nothing else that it could mean


def test_a_number_that_a_mapping_does_not_have_and_a_mapping_that_there_is_not(env):
    with pytest.raises(UsageError, match="'upstream' has no number 8; it has 2 ids, upstream#7 to upstream#160"):
        env.tasks.resolve("upstream#8")
    with pytest.raises(UnknownNameError, match="Unknown task 'rl-data#8'"):
        env.tasks.resolve("rl-data#8")
    assert "upstream#8" not in env.tasks


@pytest.mark.parametrize(
    "alias", ["160", "upstream", "upstream#", "#160", "upstream#-1", "upstream#016", "up stream#1", "a/b#1", "upstream#٣", 160]
)
def test_a_published_id_of_another_form_is_refused(alias):
    with pytest.raises(UsageError, match="is not of the form 'MAPPING#N'"):
        FixedTasks([Task("a", "train")], aliases={alias: "a"})


@pytest.mark.parametrize("key", ["train/5", "valid/0", "", None, 3, "train/" + "9" * 5000])
def test_a_published_id_that_leads_nowhere_is_refused(key):
    with pytest.raises(UsageError, match=r"'upstream#1' leads to .*, which is not the key of a task here"):
        GeneratedTasks(make_task, {"train": 5}, aliases={"upstream#1": key})


def test_a_published_id_of_two_tasks_and_one_that_is_a_key_are_refused():
    tasks = [Task("a", "train"), Task("b#3", "train")]
    twice = [("upstream#1", "a"), ("upstream#1", "b#3")]
    with pytest.raises(UsageError, match="'upstream#1' leads to the task 'a' and to 'b#3'"):
        FixedTasks(tasks, aliases=twice)
    assert FixedTasks(tasks, aliases=[("upstream#1", "a"), ("upstream#1", "a")]).aliases == {"upstream#1": "a"}
    with pytest.raises(UsageError, match="'b#3' is also the key of a task; give the mapping 'b' another name"):
        FixedTasks(tasks, aliases={"b#3": "a"})


def test_aliases_that_were_written_by_hand_and_lead_nowhere_are_noticed_when_they_are_used(env):
    env.tasks.aliases = {"upstream#1": "train/99"}
    with pytest.raises(UsageError, match="'upstream#1' leads to 'train/99', which is not the key of a task here"):
        env.reset(options={"task": "upstream#1"})


def test_aliases_do_not_change_with_the_mapping_they_came_from():
    given_ = dict(ALIASES)
    tasks = GeneratedTasks(make_task, {"train": 5, "test": 5}, aliases=given_)
    given_.clear()
    assert tasks.aliases == ALIASES


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True)


@given(st.dictionaries(st.tuples(names, st.integers(0, 10**17)), st.sampled_from(["a", "b"]), max_size=8))
def test_every_mapping_is_read_back_from_its_ids(found):
    aliases = checked_aliases({f"{name}#{number}": key for (name, number), key in found.items()}, {"a", "b"}.__contains__)
    tasks = FixedTasks([Task("a", "train"), Task("b", "test")], aliases=aliases)
    assert mappings(aliases) == tuple(sorted({name for name, _ in found}))
    for (name, number), key in found.items():
        assert mapping_of(f"{name}#{number}") == name
        assert tasks.resolve(f"{name}#{number}").key == key


def test_rollouts_take_published_ids_and_record_the_key():
    from palaestra.agents import EpisodePlan, ExpertAgent, RolloutEngine

    plans = [EpisodePlan(str(i), COUNTER_ID, task_key=alias, seed=1) for i, alias in enumerate(ALIASES)]
    played = RolloutEngine(2).collect(plans, ExpertAgent(), make_env=lambda plan: PublishedCounterEnv())
    assert [trajectory.task["key"] for trajectory in played] == list(ALIASES.values())
    assert all(trajectory.outcome.success for trajectory in played)


def test_the_registered_environment_has_none_and_says_so():
    env = gymnasium.make(COUNTER_ID)
    assert env.unwrapped.tasks.aliases == {}
    assert env.unwrapped.available_actions() is None
    assert env.unwrapped.full_return == 1.0


@pytest.mark.parametrize("aliases", [None, "abc", 3, [("upstream#1",)], ["upstream#1"], [("upstream#1", "a", "b")], [None]])
def test_what_are_no_pairs_is_one_clear_error(aliases):
    with pytest.raises(ConfigError, match=r"The aliases of a task set are .*; expected a mapping of published ids"):
        FixedTasks([Task("a", "train")], aliases=aliases)
    with pytest.raises(ConfigError, match="expected a mapping"):
        GeneratedTasks(make_task, {"train": 5}, aliases=aliases)


def test_a_mapping_that_there_is_not_is_told_which_there_are(env):
    told = r"Unknown task 'nope#1': there is no published mapping 'nope'.*there are: agenteval, upstream\."
    with pytest.raises(UnknownNameError, match=told):
        env.reset(options={"task": "nope#1"})
    with pytest.raises(UnknownNameError, match=r"Unknown task 'nope#1'\. Keys read"):
        CounterEnv().reset(options={"task": "nope#1"})


def test_aliases_are_read_only_and_survive_pickling(env):
    aliases = env.tasks.aliases
    with pytest.raises(TypeError):
        aliases["upstream#1"] = "train/0"
    with pytest.raises(AttributeError):
        aliases.clear()
    assert pickle.loads(pickle.dumps(aliases)) == copy.deepcopy(aliases) == ALIASES
    given = dict(ALIASES)
    tasks = GeneratedTasks(make_task, {"train": 5, "test": 5}, aliases=given)
    given.clear()
    assert tasks.aliases == ALIASES


@pytest.mark.parametrize("name", ["٣", "३", "²", "1a", ""])
def test_only_plain_digits_are_a_bare_number(name):
    assert not is_bare_number(name)
    assert is_bare_number("160")


@pytest.mark.parametrize("number", ["-1", "\u0663", "\uff11", "01", "1.5", "", " 3", "+3", "1e3", "one"])
def test_what_is_nearly_a_published_id_is_told_the_form_of_one(env, number):
    name = f"upstream#{number}"
    with pytest.raises(
        UnknownNameError, match=r"Unknown task 'upstream#.*digits 0 to 9.*Name the mapping.*agenteval, upstream"
    ):
        env.reset(options={"task": name})
    with pytest.raises(UnknownNameError, match=r"Unknown task .*no published ids here.*tasks="):
        CounterEnv().reset(options={"task": name})
