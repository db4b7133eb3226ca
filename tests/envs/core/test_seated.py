import copy
import pickle
from collections import Counter

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from palaestra_toys.meeting import MeetingEnv

from palaestra.envs.core.seated import MAX_REFUSALS, Exchange
from palaestra.errors import ConfigError, EnvironmentFault, EpisodeStateError, SeatFault, UnknownNameError, UsageError
from palaestra.spaces import MAX_ACTION_CHARS
from palaestra.types import Message, ToolCall, ToolResult, plain
from tests.envs.seated_toys import DrawersEnv, GuessEnv

TABLES = [lambda: GuessEnv(judge="each"), lambda: GuessEnv(judge="last"), DrawersEnv, MeetingEnv]
NAMES = ["guess-each", "guess-last", "drawers", "meeting"]
every_table = pytest.mark.parametrize("make", TABLES, ids=NAMES)


def opened(env, seed=0, **options):
    """Reset with every seat at the table."""
    return env.reset(seed=seed, options={"seats": env.seats, **options})


def action_of(env, seat, rng):
    """Draw the expert's action, one of the grammar, or nonsense."""
    kind = rng.integers(4)
    return next(env.expert(seat)) if kind < 2 else type(env)._sample(seat, rng) if kind == 2 else "\u2603"


def expert_plays(env, info, *, turns=100):
    """Let every seat's expert play on; return the result of the last step."""
    result = None
    for _ in range(turns):
        result = env.step(next(env.expert(info["seat"])))
        info = result[4]
        if result[2] or result[3]:
            return result
    raise AssertionError("the episode does not end")


# -- state ------------------------------------------------------------------------------------------------------------


@every_table
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_every_state_of_an_open_table_saves_copies_and_pickles(make, seed):
    env, rng = make(), np.random.default_rng(seed)
    opened(env, seed, max_turns=5)
    for _ in range(25):
        snapshot = env.snapshot()
        restored = make()
        restored.restore(snapshot)
        assert restored.snapshot() == snapshot
        assert restored.state_hash() == env.state_hash()
        assert restored.acting == env.acting
        assert [restored.observation_of(seat) for seat in env.seats] == [env.observation_of(seat) for seat in env.seats]
        twins = [env, restored, copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
        action = action_of(env, env.acting[0], rng)
        results = []
        for twin in twins:
            try:
                results.append(plain(list(twin.step(action))))
            except SeatFault as fault:
                results.append([fault.boundary, str(fault)])
        assert all(result == results[0] for result in results)
        assert len({twin.snapshot() for twin in twins}) == 1
        if len(results[0]) == 2 or results[0][2] or results[0][3]:
            return


@pytest.mark.parametrize("judge", ["", "each", "last"])
def test_a_refused_action_changes_no_hash_not_even_the_last_one(judge):
    env = GuessEnv(judge=judge, max_turns=2)
    _, info = opened(env)
    for _ in range(12):
        before, seat = env.state_hash(), info["seat"]
        for junk in ("\u2603", "x" * (MAX_ACTION_CHARS + 1)):
            *_, truncated, info = env.step(junk)
            assert info["action_error"]
            assert truncated == (seat == "ann" and env._num_turns == 2 and judge != "last")
            if info.get("seat") == "judge" and seat == "ann":
                return  # a judge was asked: that is no longer the refusal
            assert (env.state_hash(), info.get("seat", seat)) == (before, seat)
            if truncated:
                return
        if seat != "ann":
            *_, info = env.step(next(env.expert(seat)))
    raise AssertionError("ann never ran out of turns")


def test_chance_is_of_episode_seat_and_turn_and_moves_nothing():
    env = GuessEnv(players={"ann": "random"})
    opened(env)
    state = str(env.np_random.bit_generator.state)
    draws = {seat: env.chance(seat).random() for seat in env.seats}
    assert draws == {seat: env.chance(seat).random() for seat in env.seats}
    assert len(set(draws.values())) == 2
    assert str(env.np_random.bit_generator.state) == state
    env.step("even")
    assert env.chance("ann").random() == draws["ann"]  # it has not acted since
    assert env.chance("bob").random() != draws["bob"]
    env.reset()
    assert env.chance("ann").random() != draws["ann"]


# -- turns ------------------------------------------------------------------------------------------------------------


def test_rewards_before_the_first_action_count_for_it():
    env = GuessEnv(seat="bob")
    env.reset(seed=0)
    _, reward, *_ = env.step(next(env.expert()))
    assert reward == 0.5
    table = GuessEnv()  # of ann, who has not acted when bob is paid
    opened(table)
    *_, info = table.step(next(table.expert("bob")))
    assert info["rewards"] == {"bob": 0.5}
    assert info["score"] == 0.0


def test_each_seat_has_rewards_a_score_and_a_success_of_its_own():
    env = GuessEnv(judge="last")
    _, info = opened(env)
    total, turns = Counter(), 0
    while True:
        seat = info["seat"]
        lie = "even" if env.state["secret"] % 2 else "odd"
        result = env.step(lie if turns == 0 else next(env.expert(seat)))
        info, turns = result[4], turns + 1
        total.update(info["rewards"])
        if result[2]:
            break
    assert info["won"] == ["ann", "judge"]  # bob lied in his hint
    assert (total["ann"], total["judge"]) == (1.0, 1.0)
    assert total["bob"] == 0.0
    assert info["scores"] == {"ann": 9.0, "bob": 0.0, "judge": 1.0}  # ann's is the grade
    assert (info["score"], info["success"], info["stop_reason"]) == (9.0, True, "success")
    assert set(info["last_seen"]) == set(env.seats)


@pytest.mark.parametrize("last", ["\u2603", "15", "x" * (MAX_ACTION_CHARS + 1), Message("assistant", error="unread", raw="?")])
@pytest.mark.parametrize("seats", [(), ("judge",), ("bob", "judge")], ids=["alone", "judge", "all"])
def test_the_horizon_counts_the_policys_actions_and_the_judge_is_asked_after_the_last(last, seats):
    env = GuessEnv(judge="last")
    task = env.tasks.at("train", 0).key
    _, info = env.reset(seed=0, options={"seats": seats, "max_turns": 2, "task": task})
    spoken = Counter()
    for _ in range(20):
        seat = info.get("seat", "ann")
        spoken[seat] += 1
        action = next(env.expert(seat)) if seat != "ann" else "15" if spoken[seat] == 1 else last
        result = env.step(action)
        info = result[4]
        if result[2] or result[3]:
            break
    assert (result[2], result[3], info["stop_reason"]) == (False, True, "max_rounds")
    assert spoken["ann"] == 2
    assert spoken["judge"] == ("judge" in seats)
    assert "Your grade is 0." in result[0]
    assert not info["success"]


def test_the_horizon_is_that_of_the_seat_whose_environment_it_is():
    for seat in ("ann", "bob"):
        env = GuessEnv(seat=seat, max_turns=1, players={"ann": "random"})
        env.reset(seed=3)
        *_, truncated, info = env.step(next(env.expert()) if seat == "bob" else "15")
        assert truncated
        assert info["stop_reason"] == "max_rounds"


@pytest.mark.parametrize("seat", MeetingEnv.seats)
def test_a_tick_is_played_to_its_end_before_the_horizon_counts(seat):
    env = MeetingEnv(seat=seat, max_turns=2)
    env.reset(seed=0)
    *_, truncated, _ = env.step("nowhere")
    assert not truncated
    observation, _, _, truncated, info = env.step("x" * (MAX_ACTION_CHARS + 1))
    assert truncated
    assert info["action_error"]
    assert f"{seat}: (silence)" in observation
    assert "characters" in observation


def test_a_cut_ends_an_episode_as_if_the_policy_had_no_turns_left():
    for judge, is_over in (("", True), ("each", True), ("last", False)):
        env = GuessEnv(judge=judge)
        _, info = opened(env)
        *_, info = env.step(next(env.expert("bob")))
        assert info["seat"] == "ann"
        observation, reward, terminated, truncated, info = env.cut("max_tokens")
        assert (reward, terminated, truncated) == (0.0, False, is_over)
        if not is_over:
            assert (info["seat"], observation) == ("judge", "ann ran out of guesses.")
            *_, truncated, info = env.step("0")
        assert truncated
        assert info["stop_reason"] == "max_tokens"
        assert env.render_mode is None
        with pytest.raises(EpisodeStateError, match="over"):
            env.cut("max_tokens")


@pytest.mark.parametrize("judge", ["", "last"])
def test_a_cut_in_its_turn_is_none_of_the_policys_actions(judge):
    env = GuessEnv(judge=judge)
    opened(env)
    for played, seat in enumerate(["bob", "ann", "bob", "ann"]):
        assert env.acting[0] == seat
        assert env._num_turns == played // 2
        if played == 3:
            break
        env.step(next(env.expert(seat)) if seat == "bob" else "3")
    env.cut("max_tokens")
    assert env._num_turns == 1


def test_a_cut_asks_the_scripted_judge_too_and_drops_a_tick_under_way():
    env = GuessEnv(judge="last")
    env.reset(seed=0)
    env.step("15")
    observation, _, _, truncated, info = env.cut("max_tokens")
    assert truncated
    assert (info["stop_reason"], info["score"]) == ("max_tokens", 0.0)
    assert observation.endswith("Your grade is 0.")
    meeting = MeetingEnv()
    opened(meeting)
    meeting.step("park")
    *_, truncated, info = meeting.cut("max_tokens")
    assert truncated
    assert meeting.acting == ()


@pytest.mark.parametrize(("seat", "boundary"), [("bob", "user"), ("judge", "judge")])
def test_a_seat_that_is_refused_three_times_in_a_row_has_failed(seat, boundary):
    env = GuessEnv(judge="each")
    _, info = opened(env)
    while info["seat"] != seat:
        *_, info = env.step(next(env.expert(info["seat"])))
    for _ in range(MAX_REFUSALS - 1):
        env.step("\u2603")
    *_, info = env.step(next(env.expert(seat)))  # in a row
    while info["seat"] != seat:
        *_, info = env.step(next(env.expert(info["seat"])))
    for _ in range(MAX_REFUSALS - 1):
        env.step("\u2603")
    with pytest.raises(SeatFault, match=f"The seat '{seat}' was refused 3 times in a row") as caught:
        env.step("x" * (MAX_ACTION_CHARS + 1))
    assert caught.value.boundary == boundary
    with pytest.raises(EpisodeStateError):
        env.step("yes")


def test_the_policy_may_be_refused_for_ever():
    env = GuessEnv(max_turns=None)
    env.reset(seed=0)
    for _ in range(3 * MAX_REFUSALS):
        *_, truncated, info = env.step("\u2603")
        assert info["action_error"]
        assert not truncated


# -- ticks ------------------------------------------------------------------------------------------------------------


def test_moves_of_a_tick_are_sealed_until_the_last_is_in():
    env = MeetingEnv()
    _, info = opened(env)
    assert list(info["tick"]) == list(env.seats)
    assert all(info["tick"][seat] == env.observation_of(seat) for seat in env.seats)
    seen = [info["tick"][seat] for seat in env.seats]
    for number, place in enumerate(("park", "museum", "park")):
        assert env.acting == env.seats[number:]
        observation, *_, info = env.step(place)
        assert ("tick" in info) == (number == 2)
        if number < 2:
            assert observation == seen[number + 1]
            assert "park" not in env.observation_of(env.seats[number + 1]).replace("like the park", "")
    assert set(info["tick"].values()) == {"ann: park, bob: museum, cleo: park"}


def test_a_tick_is_not_announced_again_when_one_is_asked_again():
    env = MeetingEnv()
    opened(env)
    *_, info = env.step("lone \ud800")
    assert info["action_error"]
    assert (info["seat"], "tick" in info) == ("ann", False)


def test_only_seats_from_outside_are_announced_and_two_are_enough():
    env = MeetingEnv()
    _, info = env.reset(seed=0, options={"seats": ("cleo",)})
    assert list(info["tick"]) == ["ann", "cleo"]
    *_, info = env.step("park")
    assert info["seat"] == "cleo"
    *_, info = env.step("park")
    assert list(info["tick"]) == ["ann", "cleo"]
    env.reset(seed=0)
    *_, info = env.step("park")
    assert "tick" not in info


def test_a_seat_that_is_refused_in_a_tick_passes_and_is_told_why():
    env = MeetingEnv()
    opened(env)
    for action in ("park", "nowhere", "park"):
        *_, info = env.step(action)
        assert not info["action_error"]
    assert env.observation_of("ann") == "ann: park, bob: (silence), cleo: park"
    assert env.observation_of("bob").splitlines()[0].startswith("Nobody knows where that is.")
    for action in ("park", "nowhere", "park"):
        env.step(action)
    env.step("nowhere")  # the policy may
    with pytest.raises(SeatFault, match="'bob' was refused 3 times"):
        env.step("nowhere")


def test_passing_is_for_ticks():
    env = MeetingEnv()
    opened(env)
    for _ in env.seats:
        env.pass_turn("You said nothing.")
    assert env.observation_of("bob") == "You said nothing.\nann: (silence), bob: (silence), cleo: (silence)"
    turns = GuessEnv()
    turns.reset(seed=0)
    with pytest.raises(UsageError, match="Only 'ann' acts now"):
        turns.pass_turn("why")


# -- tools ------------------------------------------------------------------------------------------------------------


def test_results_of_tools_go_to_the_seat_that_called_them_and_it_acts_again():
    env = DrawersEnv()
    _, info = opened(env)
    assert [tool["function"]["name"] for tool in info["seats"]["right"]["tools"]] == ["look_right"]
    for seat in ("left", "right"):
        assert info["seat"] == seat
        observation, *_, info = env.step(Message("assistant", tool_calls=(ToolCall(f"look_{seat}", {}, "1"),)))
        assert [result.content for result in info["tool_results"]] == [env.secret(seat)] == [observation]
        assert info["seat"] == seat
        *_, info = env.step(env.secret(seat))
        assert info["tool_results"] == ()


# -- mistakes ---------------------------------------------------------------------------------------------------------


class Author(GuessEnv):
    """Returns what a test wants in place of an exchange."""

    opening = Exchange({}, ("bob",))
    answer = Exchange({}, ("ann",))
    last_words = None
    says = "even"

    def _open(self, task):
        super()._open(task)
        return self.opening

    def _play(self, moves):
        super()._play(moves)
        return self.answer

    def _out_of_turns(self):
        return self.last_words

    def _scripted(self, seat, observation):
        return self.says


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"opening": Exchange({}, ("bob",), {"ann": 1.0})}, "_open gives a reward"),
        ({"opening": Exchange({}, ("bob",), scores={"ann": 1.0})}, "_open gives a reward"),
        ({"opening": Exchange()}, "names nobody in next"),
        ({"opening": Exchange({"zoe": "hi"}, ("bob",))}, "names the seat 'zoe'; the seats are ann, bob"),
        ({"answer": Exchange({}, ("zoe",))}, "names the seat 'zoe'"),
        ({"answer": Exchange({}, ("ann",), {"zoe": 1.0})}, "names the seat 'zoe'"),
        ({"answer": Exchange({}, ("ann",), won=("zoe",))}, "names the seat 'zoe'"),
        ({"answer": Exchange()}, "over before the seat 'ann' of Author was asked"),
        ({"answer": Exchange({}, ("ann",), tool_results=[ToolResult("f", "x")])}, "called tools and next is"),
        ({"says": "\u2603"}, "The scripted 'bob' of Author was refused"),
    ],
)
def test_an_authors_mistake_is_named(attributes, message):
    env = Author()
    vars(env).update(attributes)
    with pytest.raises(EnvironmentFault, match=message):
        env.reset(seed=0)


def test_what_is_owed_at_the_first_action_lies_in_the_snapshot_and_in_no_hash():
    def gifted():
        env = Author()
        env.answer = Exchange({"ann": "welcome"}, ("ann",), {"ann": 0.25}, metrics={"hints": 3.0})
        return env

    env, other = gifted(), gifted()
    env.reset(seed=0)
    other.restore(env.snapshot())
    before = env.state_hash()
    for one in (env, other):
        _, reward, *_, info = one.step("\u2603")  # refused, and paid all the same
        assert (reward, info["score"], "metrics" in info) == (0.25, 0.25, False)
        assert one.state_hash() == before
        assert one.step("\u2603")[1] == 0.0
        *_, info = one.cut("max_rounds")
        assert info["metrics"] == {"hints": 3.0}


def test_a_policy_that_is_out_of_turns_cannot_be_named():
    env = Author(max_turns=1)
    env.last_words = Exchange({}, ("ann",))
    env.reset(seed=0)
    with pytest.raises(EnvironmentFault, match="_out_of_turns names the policy's seat"):
        env.step("\u2603")


def test_a_scripted_player_that_is_refused_in_a_tick_is_a_fault_too():
    env = MeetingEnv()
    env._scripted = lambda seat, observation: "nowhere"
    env.reset(seed=0)
    with pytest.raises(EnvironmentFault, match="The scripted 'bob' of MeetingEnv was refused"):
        env.step("park")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"seats": "bob"}, UsageError, "expected names of seats"),
        ({"seats": [1]}, UsageError, "expected names of seats"),
        ({"seats": 3}, UsageError, "expected names of seats"),
        ({"seats": ["bobb"]}, UnknownNameError, "Unknown seat 'bobb'. Did you mean 'bob'"),
        ({"max_turns": 0}, ConfigError, "at least 1"),
        ({"max_turns": True}, ConfigError, "at least 1"),
        ({"sets": 1}, UnknownNameError, "Did you mean 'seats'"),
        ({"task": "no such"}, UnknownNameError, "Unknown task"),
    ],
)
def test_options_that_cannot_work_are_refused_and_nothing_changes(options, error, message):
    env = GuessEnv()
    opened(env)
    before = env.snapshot()
    with pytest.raises(error, match=message):
        env.reset(options=options)
    assert env.snapshot() == before


def test_arguments_that_cannot_work_are_refused():
    with pytest.raises(UnknownNameError, match=r"Unknown seat 'judge'\. Known: ann, bob"):
        GuessEnv(seat="judge")
    with pytest.raises(UnknownNameError, match=r"Unknown bob persona 'lier'\. Did you mean 'liar'"):
        GuessEnv(players={"bob": "lier"})
    with pytest.raises(UnknownNameError, match="Unknown bob persona 'liar'"):
        type("Mute", (GuessEnv,), {"personas": {"ann": ("halving",)}})(players={"bob": "liar"})
    with pytest.raises(UnknownNameError, match="Unknown seat 'zoe'"):
        GuessEnv(players={"zoe": "liar"})
    assert GuessEnv(players={"bob": "liar"}).players == {"ann": "halving", "bob": "liar"}
    with pytest.raises(UnknownNameError, match="Unknown seat 'zoe'"):
        GuessEnv().action_space_of("zoe")


# -- two ways ---------------------------------------------------------------------------------------------------------


def test_a_reset_without_seats_closes_the_table():
    env = gymnasium.make("tests/Guess-v0") if "tests/Guess-v0" in gymnasium.registry else GuessEnv()
    inner = env.unwrapped
    opened(inner)
    assert inner.is_open
    _, info = env.reset()
    assert not inner.is_open
    assert "seats" not in info
    assert inner.acting == ("ann",)


def test_an_open_table_says_to_its_driver_what_each_agent_must_know():
    env = GuessEnv(judge="each")
    _, info = env.reset(seed=0, options={"seats": ["judge"]})
    assert set(info["seats"]) == {"ann", "judge"}  # bob stays scripted
    assert info["seats"]["judge"]["instructions"] == "You are judge."
    assert info["seats"]["judge"]["private"] == {"secret": env.state["secret"]}
    assert {seat: about["boundary"] for seat, about in info["seats"].items()} == {"ann": "model", "judge": "judge"}
    assert info["instructions"] == "You are ann."
    assert env.boundary("bob") == "user"
    result = expert_plays(env, info)
    assert result[4]["success"]
    assert set(result[4]["last_seen"]) == {"ann", "judge"}


def test_notes_of_exchanges_are_for_the_record_of_an_open_table():
    env = GuessEnv()
    _, info = opened(env)
    *_, info = env.step(next(env.expert("bob")))
    *_, info = env.step("3")
    assert info["exchange"] == {"guess": 3}
    env.reset(seed=0)
    *_, info = env.step("3")
    assert "exchange" not in info


@pytest.mark.parametrize("seats", [(), ("bob",)])
@pytest.mark.parametrize("end", ["itself", "cut", "turns"])
def test_metrics_are_told_with_the_end_however_it_comes_and_not_before(end, seats):
    env = GuessEnv(max_turns=1 if end == "turns" else None)
    _, info = env.reset(seed=0, options={"seats": seats})
    is_over, num_steps = False, 0
    while not is_over:
        assert "metrics" not in info
        is_cut = end == "cut" and num_steps == 1 + 2 * len(seats)
        result = env.cut("max_tokens") if is_cut else env.step(next(env.expert(env.acting[0])))
        is_over, info, num_steps = result[2] or result[3], result[4], num_steps + 1
    assert num_steps > 1 or end == "turns"
    assert info["metrics"] == {"hints": 1, "guesses": env.state["guesses"]}  # those of the opening too


def test_what_is_rendered_says_who_acts_at_an_open_table():
    env = GuessEnv(render_mode="ansi")
    opened(env)
    assert env.render().endswith("(bob acts)")
    env.reset()
    assert "acts" not in env.render()
