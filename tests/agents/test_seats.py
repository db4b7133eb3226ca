import json
import pickle
import time
from dataclasses import replace

import gymnasium
import pytest
from palaestra_toys.envs import MEETING_ID, register

from palaestra.agents.backends.scripted import ScriptedBackend
from palaestra.agents.context import ContextPolicy
from palaestra.agents.core import Agent, AgentRecord, Generation, Sampling, Tokens
from palaestra.agents.evaluation.evaluation import evaluate
from palaestra.agents.llm import LLMAgent
from palaestra.agents.reference import ExpertAgent, RandomAgent
from palaestra.agents.rollout.engine import EpisodePlan, RolloutEngine
from palaestra.agents.seats import OtherSeats, Seats, seats_config
from palaestra.agents.store.store import RunStore
from palaestra.envs import Exchange
from palaestra.envs.check.seats import play_alone, play_table
from palaestra.errors import ConfigError, ContextWindowError, EpisodeStateError, ModelError, UnknownNameError, UsageError
from palaestra.types import Message, ToolCall, Trajectory, plain
from tests.agents.seat_players import Scripted, make_toy
from tests.envs.miniature import COUNTER_ID, register_miniatures
from tests.envs.seated_toys import DRAWERS_ID, GUESS_ID, DrawersEnv, GuessEnv, register_seated_toys

register()
register_miniatures()
register_seated_toys()

SEATS = {GUESS_ID: ("ann", "bob", "judge"), DRAWERS_ID: ("left", "right"), MEETING_ID: ("ann", "bob", "cleo")}


def plan(env_id=GUESS_ID, *, number=3, max_turns=None, **env_kwargs):
    return EpisodePlan(
        f"{env_id}/{number}", env_id, env_kwargs=env_kwargs, task_key=f"train/{number}", seed=7, max_turns=max_turns
    )


def played(env_id=GUESS_ID, agent=None, *, engine=None, **options) -> Trajectory:
    [episode] = (engine or RolloutEngine(4)).collect([plan(env_id, **options)], agent, make_env=make_toy)
    return episode


def without_time(trajectory: Trajectory):
    data = trajectory.to_json()
    for usage in (data["usage"], *(record["usage"] for record in data.get("seats", {}).values())):
        usage.pop("model_s")
        usage.pop("env_s")
    return data


def everybody(agent: Agent, *seats: str) -> Seats:
    return Seats(agent, **dict.fromkeys(seats, agent))


# -- what an episode at a table holds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("judge", ["", "each", "last"])
def test_every_seat_has_its_steps_its_usage_and_its_tokens(judge):
    others = ("bob", "judge") if judge else ("bob",)
    whole = played(agent=everybody(Scripted(), *others), judge=judge)
    assert whole.outcome.error is None
    assert (whole.seat, tuple(whole.seats)) == ("ann", others)
    assert [step.seat for step in whole.steps][:3] == ["bob", "ann", "bob"]
    for seat in ("ann", *others):
        own = whole.of_seat(seat)
        assert own.usage.calls == len(own.steps) == sum(step.seat == seat for step in whole.steps)
        assert [span.turn for segment in own.segments for span in segment.turns] == list(range(len(own.steps)))
        assert own.instructions == f"You are {seat}."
        assert all(step.info["action_error"] == "" for step in own.steps)
    assert whole.total_usage.calls == len(whole.steps)
    assert whole.usage.model_s == 0.25  # the agent's own: the engine cannot tell seats of a tick apart
    assert (whole.outcome.success, whole.num_turns) == (True, sum(step.seat == "ann" for step in whole.steps))
    assert whole.outcome.metrics["guesses"] == whole.num_turns
    assert whole.seats["bob"].final_observation == ("The judge says fair." if judge == "each" else "")
    for step in whole.steps:
        assert step.info.keys().isdisjoint({"seat", "tick", "last_seen", "step"})
    assert Trajectory.from_json(json.loads(json.dumps(whole.to_json()))) == whole


@pytest.mark.parametrize(
    ("env_id", "kwargs"), [(GUESS_ID, {"judge": "each"}), (GUESS_ID, {"judge": "last"}), (MEETING_ID, {})]
)
@pytest.mark.parametrize("horizon", [None, 2])
def test_the_engine_records_a_table_as_the_checker_does(env_id, kwargs, horizon):
    episode = played(env_id, everybody(Scripted(), *SEATS[env_id][1:]), max_turns=horizon, **kwargs)
    env, twin = (gymnasium.make(env_id, **kwargs).unwrapped for _ in range(2))
    key = episode.task["key"]
    reset = type(env).reset
    try:
        type(env).reset = lambda self, *, seed=None, options=None: reset(self, seed=seed, options={"task": key, **options})
        alone = play_alone(env, 7, "expert", max_turns=horizon)
        table = play_table(env, twin, 7, "ann", "expert", max_turns=horizon)
    finally:
        type(env).reset = reset
    assert [(s.seat, s.observation, s.action.content, s.reward, s.info) for s in episode.steps] == [
        (s.seat, s.observation, s.action.content, s.reward, plain(s.info)) for s in table.steps
    ]
    own = episode.of_seat()
    assert [(s.observation, s.reward, s.terminated, s.truncated, s.info) for s in own.steps] == [
        (s.observation, s.reward, s.terminated, s.truncated, plain(s.info)) for s in alone.steps
    ]
    assert (own.final_observation, own.outcome) == (alone.final_observation, episode.outcome)
    assert (own.outcome.score, own.outcome.success, own.outcome.stop_reason) == (
        alone.outcome.score,
        alone.outcome.success,
        alone.outcome.stop_reason,
    )


def test_an_episode_without_other_agents_says_nothing_of_seats():
    for env_id in SEATS:
        alone = played(env_id, ExpertAgent())
        assert alone.outcome.success
        assert alone.of_seat() is alone
        data = alone.to_json()
        assert {"seat", "seats"}.isdisjoint(data)
        assert all("seat" not in step for step in data["steps"])


@pytest.mark.parametrize(
    "workers", [{}, {"env_workers": 2, "worker_kind": "process"}, {"env_workers": 2, "worker_kind": "thread"}]
)
def test_experts_and_drawn_actions_play_every_seat_also_in_workers(workers):
    engine = RolloutEngine(4, **workers)
    expert = played(GUESS_ID, everybody(ExpertAgent(), "bob", "judge"), engine=engine, judge="each")
    assert expert.outcome.success
    assert {step.seat for step in expert.steps} == {"ann", "bob", "judge"}
    drawn = played(MEETING_ID, everybody(RandomAgent(3), "cleo"), engine=engine)
    here = played(MEETING_ID, everybody(RandomAgent(3), "cleo"))
    assert without_time(drawn) == without_time(here)
    words = {step.action.content for step in drawn.steps}
    assert len(words) > 1
    assert [s.action.content for s in drawn.of_seat("cleo").steps] != [s.action.content for s in drawn.of_seat().steps]


# -- privacy ----------------------------------------------------------------------------------------------------------


def test_no_seat_is_shown_what_belongs_to_another():
    spy = Scripted()
    whole = played(GUESS_ID, everybody(spy, "bob", "judge"), judge="each", number=5)
    secret = 10
    assert f'"secret": {secret}' in spy.of("bob")
    assert "secret" not in spy.of("ann")
    assert [entry[2] for entry in spy.seen if entry[0] == "reset"] == [
        whole.episode_id if seat == "ann" else f"{whole.episode_id}/{seat}" for seat in ("ann", "bob", "judge")
    ]
    hidden = ("rewards", "scores", "won", "seats", "tick", "last_seen", "exchange", "boundary")
    assert not [key for key in hidden if f'"{key}"' in json.dumps(spy.seen)]
    for kind, seat, _, info in spy.seen:
        if kind == "act":
            assert info["seat"] == seat
            assert {"score", "success"}.isdisjoint(info) or seat == "ann"


def llm(seat: str, script, **options) -> LLMAgent:
    return LLMAgent(ScriptedBackend(script, name=f"model-{seat}"), name=f"llm-{seat}", **options)


def look(seat: str) -> Message:
    return Message("assistant", tool_calls=(ToolCall(f"look_{seat}", {}, f"id-{seat}"),))


def test_two_seats_with_native_tools_get_the_results_of_their_own_calls():
    requests = {"left": [], "right": []}

    def model(seat):
        def answer(request):
            requests[seat].append(request)
            return look(seat) if len(requests[seat]) % 2 else f"{seat}-6"

        return answer

    agent = Seats(llm("left", model("left"), format="tools"), right=llm("right", model("right"), format="tools"))
    whole = played(DRAWERS_ID, agent)
    assert whole.outcome.success
    assert [step.seat for step in whole.steps] == ["left", "left", "right", "right"]
    for seat, other in (("left", "right"), ("right", "left")):
        assert [tool["function"]["name"] for tool in requests[seat][0].tools] == [f"look_{seat}"]
        last = requests[seat][-1].messages[-1]
        assert (last.role, last.content, last.tool_call_id) == ("tool", f"{seat}-6", f"id-{seat}")
        told = json.dumps([message.to_json() for request in requests[seat] for message in request.messages])
        assert f"{other}-6" not in told
        assert {request.session for request in requests[seat]} == {whole.episode_id + ("/right" if seat == "right" else "")}


# -- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seat", "boundary"), [("ann", "model"), ("bob", "user"), ("judge", "judge")])
@pytest.mark.parametrize("error", [ModelError("down"), RuntimeError("broken"), ContextWindowError("full")])
def test_a_failure_is_of_the_boundary_of_the_seat_that_failed(seat, boundary, error):
    good, bad = Scripted(), Scripted(fails={0: error})
    agents = {name: bad if name == seat else good for name in ("ann", "bob", "judge")}
    whole = played(GUESS_ID, Seats(agents.pop("ann"), **agents), judge="each")
    assert whole.outcome.error is not None
    assert (whole.outcome.error.boundary, whole.outcome.error.type) == (boundary, type(error).__name__)
    assert whole.outcome.score is None
    assert [step.seat for step in whole.steps] == {"ann": ["bob"], "bob": [], "judge": ["bob", "ann", "bob"]}[seat]
    assert whole.total_usage.calls == len(whole.steps) + 1
    assert whole.of_seat("bob").outcome.error == whole.outcome.error


@pytest.mark.parametrize("workers", [{}, {"env_workers": 1, "worker_kind": "process"}])
def test_a_seat_that_is_never_understood_fails_the_episode(workers):
    agent = Seats(Scripted(), bob=Scripted(junk=(1, 2, 3)))
    if workers:
        agent = Seats(ExpertAgent(), bob=Stubborn())
    whole = played(GUESS_ID, agent, engine=RolloutEngine(2, **workers))
    error = whole.outcome.error
    assert (error.boundary, error.type) == ("user", "SeatFault")
    assert "refused 3 times in a row" in error.message
    assert whole.meta["unfinished_seat"] == "bob"
    assert "unfinished_action" not in whole.of_seat("ann").meta


class Stubborn(Agent):
    name = "stubborn"

    async def aact(self, observation, info):
        return Message("assistant", "?")


@pytest.mark.parametrize("workers", [{}, {"env_workers": 1, "worker_kind": "process"}])
@pytest.mark.parametrize("others", [(), ("bob",), ("bob", "judge")])
def test_a_policy_whose_context_is_full_is_cut_off_and_the_judge_still_asked(others, workers):
    if workers:
        policy, other = Forgetful(), ExpertAgent()
    else:
        policy, other = Scripted(fails={1: ContextWindowError("full")}), Scripted()
    agent = Seats(policy, **dict.fromkeys(others, other)) if others else policy
    whole = played(GUESS_ID, agent, engine=RolloutEngine(2, **workers), judge="last", number=7)
    assert whole.outcome.error is None
    assert (whole.outcome.stop_reason, whole.outcome.score, whole.outcome.success) == ("max_tokens", 0.0, False)
    assert whole.steps[-1].truncated
    assert (whole.steps[-1].seat == "judge") == ("judge" in others)
    own = whole.of_seat()
    assert len(own.steps) == 1
    assert own.steps[0].truncated
    assert own.final_observation.endswith("Your grade is 0.")


class Forgetful(ExpertAgent):
    """Its context is full after one action."""

    def reset(self, info, *, env=None, session=""):
        super().reset(info, env=env, session=session)
        self.turns = 0

    async def aact(self, observation, info):
        self.turns += 1
        if self.turns > 1:
            raise ContextWindowError("full")
        return await super().aact(observation, info)


def test_rewards_that_come_of_a_cut_belong_to_the_last_step():
    policy = Scripted(fails={1: ContextWindowError("full")})
    whole = played(GUESS_ID, Seats(policy, bob=Generous()), judge="last", players={"judge": "just"})
    assert whole.outcome.error is None
    assert whole.return_ == sum(step.reward for step in whole.of_seat().steps)
    assert whole.steps[-1].info["rewards"] == {"ann": 0.0, "judge": 1.0}  # the grade is 0
    assert whole.steps[-1].info["scores"]["judge"] == 1.0
    assert whole.of_seat("bob").return_ == 0.5


class Generous(Scripted):
    """Plays by the script."""


class Paid(GuessEnv):
    """Everybody is paid for every action, and once more when ann has no turns left."""

    def _play(self, moves):
        exchange = super()._play(moves)
        return replace(exchange, rewards=dict.fromkeys(self.seats, 0.125), metrics={"guesses": 1.0})

    def _out_of_turns(self):
        return Exchange(rewards=dict.fromkeys(self.seats, 0.5), metrics={"hints": 2.0})


def test_what_a_cut_pays_is_added_to_what_the_last_step_paid():
    for others in ((), ("bob",)):
        policy = Scripted(fails={1: ContextWindowError("full")})
        agent = Seats(policy, bob=Scripted()) if others else policy
        [whole] = RolloutEngine(1).collect([plan(number=7)], agent, make_env=lambda _: Paid())
        assert whole.outcome.stop_reason == "max_tokens"
        assert whole.return_ == whole.outcome.score == 3 * 0.125 + 0.5  # hint, guess, answer, the end
        last = whole.steps[-1]
        assert last.info["reward_parts"]["task"] == last.reward == (0.625 if others else 0.875)
        assert last.info["metrics"] == {"guesses": 1.0, "hints": 2.0}
        if others:
            assert last.info["rewards"] == {"ann": 0.625, "bob": 0.625}
            assert whole.of_seat("bob").return_ == 0.875


@pytest.mark.parametrize("players", [{"bob": 1}, {"bob": 1, "judge": 1}])
def test_agents_for_seats_that_are_not_there_are_one_clear_error(players):
    agent = Seats(ExpertAgent(), **dict.fromkeys(players, ExpertAgent()))
    with pytest.raises(UsageError, match=f"also plays {', '.join(players)}, and this environment has one seat"):
        played(COUNTER_ID, agent)


def test_agents_for_wrong_seats_are_one_clear_error():
    with pytest.raises(UnknownNameError, match="Unknown seat 'bobb'"):
        played(GUESS_ID, Seats(ExpertAgent(), bobb=ExpertAgent()))
    with pytest.raises(UsageError, match="The seat 'ann' is the policy's"):
        played(GUESS_ID, Seats(ExpertAgent(), ann=ExpertAgent()))
    with pytest.raises(UsageError, match="seats nobody else"):
        Seats(ExpertAgent())
    inner = Seats(ExpertAgent(), bob=ExpertAgent())
    for seated in (lambda: Seats(inner, bob=ExpertAgent()), lambda: Seats(ExpertAgent(), bob=inner)):
        with pytest.raises(UsageError, match="also plays bob; expected an agent for that seat alone"):
            seated()
    with pytest.raises(UsageError, match="Seats for 'bob', which also plays bob"):
        OtherSeats(GuessEnv(), {"bob": inner})
    env = gymnasium.make(GUESS_ID)
    _, info = env.reset(seed=0)
    with pytest.raises(
        UsageError, match=r"not open for the seats bob: reset the environment with options=\{'seats': \['bob'\]"
    ):
        Seats(ExpertAgent(), bob=ExpertAgent()).reset(info, env=env)
    with pytest.raises(EpisodeStateError, match="before reset"):
        Seats(ExpertAgent(), bob=ExpertAgent()).act("", {})


@pytest.mark.parametrize(
    ("env_id", "seat", "message"),
    [
        (GUESS_ID, "nobody", "Unknown seat 'nobody'"),
        (GUESS_ID, "judge", "Unknown seat 'judge'"),
        (GUESS_ID, "ann", "The seat 'ann' is the policy's"),
        (COUNTER_ID, "user", "this environment has one seat"),
    ],
)
def test_a_mistake_about_seats_takes_no_name_of_a_run(env_id, seat, message, tmp_path):
    with RunStore(tmp_path) as store:
        with pytest.raises(UsageError, match=message):
            evaluate(env_id, Seats(ExpertAgent(), **{seat: ExpertAgent()}), n=1, store=store, run_id="one")
        assert store.runs() == []
        others = {} if env_id == COUNTER_ID else {"bob": ExpertAgent()}
        agent = Seats(ExpertAgent(), **others) if others else ExpertAgent()
        assert evaluate(env_id, agent, n=1, store=store, run_id="one").status == "finished"


# -- ticks ------------------------------------------------------------------------------------------------------------


def test_the_seats_of_a_tick_are_asked_together():
    agent = everybody(Scripted(delay_s=0.1), "bob", "cleo")
    started = time.perf_counter()
    whole = played(MEETING_ID, agent)
    seconds, ticks = time.perf_counter() - started, len(whole.steps) // 3
    assert ticks >= 2
    assert seconds < 0.1 * ticks * 2  # 0.3 s a tick if one after the other


def test_an_answer_that_is_played_later_than_expected_keeps_its_tokens_on_its_step():
    ann, bob, cleo = Scripted(junk=(0,)), Scripted(), Scripted()
    whole = played(MEETING_ID, Seats(ann, bob=bob, cleo=cleo))
    assert [step.seat for step in whole.steps][:4] == ["ann", "ann", "bob", "cleo"]
    assert whole.steps[0].info["action_error"]
    assert whole.outcome.success
    for seat, agent in (("ann", ann), ("bob", bob), ("cleo", cleo)):
        own = whole.of_seat(seat)
        spans = [span.turn for segment in own.segments for span in segment.turns]
        assert spans == list(range(len(own.steps)))
        assert sum(entry[0] == "act" for entry in agent.seen) == len(own.steps)  # asked once for each of its actions


def test_a_seat_that_fails_in_a_tick_fails_in_its_own_turn():
    whole = played(MEETING_ID, Seats(Scripted(), bob=Scripted(fails={0: ModelError("down")}), cleo=Scripted()))
    assert (whole.outcome.error.boundary, whole.outcome.error.message) == ("user", "down")
    assert [step.seat for step in whole.steps] == ["ann"]
    assert whole.seats["cleo"].usage.calls == 1  # asked together with the others


# -- language models --------------------------------------------------------------------------------------------------


def with_tokens(text: str):
    """A reply with two prompt tokens per message and one sampled token."""

    def answer(request):
        prompt = tuple(range(2 * len(request.messages)))
        return Generation(Message("assistant", text), tokens=Tokens(prompt, (99,), (-0.5,)))

    return answer


def test_the_tokens_of_each_seat_index_the_steps_of_the_whole():
    secret = {"ann": "6", "bob": "yes"}
    policy, user = (llm(seat, with_tokens(word), format="text") for seat, word in secret.items())
    whole = played(GUESS_ID, Seats(policy, bob=user), max_turns=3)
    spans = {
        "ann": [span.turn for segment in whole.segments for span in segment.turns],
        "bob": [span.turn for segment in whole.seats["bob"].segments for span in segment.turns],
    }
    taken = len(whole.steps) + (whole.outcome.error is not None)
    assert sorted(spans["ann"] + spans["bob"]) == list(range(taken))


def test_a_step_of_somebody_elses_info_is_not_ours():
    agent = llm("x", with_tokens("hi"), format="text")
    agent.reset({"task": {}, "instructions": "", "tools": [], "seat": 4})
    agent.act("hello", {"step": 1234})
    assert [span.turn for span in agent.record().segments[0].turns] == [0]
    agent.reset({"task": {}, "instructions": "", "tools": [], "seat": "bob", "private": None})
    agent.act("hello", {"step": 12})
    assert [span.turn for span in agent.record().segments[0].turns] == [12]


def test_sampling_seeds_follow_the_session_and_the_requests_of_a_seat():
    seeds = {"ann": [], "bob": []}

    def model(seat, word):
        def answer(request):
            seeds[seat].append(request.sampling.seed)
            return word

        return answer

    sampling = Sampling(seed=1)
    policy = llm("ann", model("ann", "9"), format="text", sampling=sampling)
    user = llm("bob", model("bob", "odd"), format="text", sampling=sampling)
    played(GUESS_ID, Seats(policy, bob=user), max_turns=3)
    flat = seeds["ann"] + seeds["bob"]
    assert len(set(flat)) == len(flat) >= 3


# -- runs -------------------------------------------------------------------------------------------------------------


def test_a_run_knows_who_sits_where_and_another_user_model_does_not_resume_it(tmp_path):
    def seats(name="m", **options):
        return Seats(ExpertAgent(), bob=LLMAgent(ScriptedBackend(["even"], name=name), format="text", **options))

    result = evaluate(GUESS_ID, seats(), n=2, split="train", store=tmp_path, run_id="r")
    user = result.config["seats"]["bob"]
    assert user["agent"] == "m"
    assert len(user["version"]) == 12
    assert evaluate(GUESS_ID, seats(), n=2, split="train", store=tmp_path, run_id="r").config == result.config
    others = [seats("n"), seats(sampling=Sampling(temperature=0.5)), seats(system_prompt="Be brief."), ExpertAgent()]
    others.append(seats(context=ContextPolicy(max_tokens=100)))
    for other in others:
        with pytest.raises(ConfigError, match="seats was"):
            evaluate(GUESS_ID, other, n=2, split="train", store=tmp_path, run_id="r")
    assert "seats" not in evaluate(GUESS_ID, ExpertAgent(), n=1).config
    assert seats_config(ExpertAgent()) == {}


def test_seats_travel_and_close_each_agent_once():
    class Closing(ExpertAgent):
        closed = 0

        async def aclose(self):
            Closing.closed += 1

    agent = pickle.loads(pickle.dumps(Seats(ExpertAgent(), bob=RandomAgent(1))))
    assert played(GUESS_ID, agent).seats["bob"].agent == "random"
    one = Closing()
    RolloutEngine(2).collect([plan()], Seats(one, bob=one), close_agent=True)
    assert Closing.closed == 1
    assert Seats(ExpertAgent(), bob=ExpertAgent()).record() == AgentRecord()


# -- plain loops ------------------------------------------------------------------------------------------------------


def loop(env, turns=40):
    """Play a one-seat face with its expert; return everything that came back."""
    record = [plain(list(env.reset(seed=11)))]
    inner = env.unwrapped
    for turn in range(turns):
        action = "x" * 100_001 if turn == 1 else next(iter(inner.expert()))
        result = env.step(action)
        record.append(plain(list(result)))
        if result[2] or result[3]:
            return record
    raise AssertionError("no end")


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        *[(GUESS_ID, {"judge": judge, "seat": seat}) for judge in ("each", "last") for seat in ("ann", "bob", "judge")],
        *[(DRAWERS_ID, {"seat": seat}) for seat in SEATS[DRAWERS_ID]],
        *[(MEETING_ID, {"seat": seat}) for seat in SEATS[MEETING_ID]],
    ],
)
def test_a_plain_loop_with_agents_in_the_other_seats_plays_like_the_environment_alone(env_id, kwargs):
    alone = gymnasium.make(env_id, **kwargs)
    inner = gymnasium.make(env_id, **kwargs)
    others = [seat for seat in inner.unwrapped.seats if seat != kwargs["seat"]]
    agent = Scripted()
    seated = OtherSeats(inner, dict.fromkeys(others, agent))
    for _ in range(2):
        agent.seen.append(["begin", "", "", {}])
        assert loop(seated) == loop(alone)
    last = agent.seen[max(number for number, entry in enumerate(agent.seen) if entry[0] == "begin") :]
    asked = {seat: sum(entry[:2] == ["act", seat] for entry in last) for seat in others}
    assert asked == {seat: inner.unwrapped._table.turns[seat] for seat in others}  # once for each action
    assert len({entry[2] for entry in agent.seen if entry[0] == "reset"}) == 2 * len(others)  # a session for each episode


def test_the_others_of_a_tick_are_asked_together_whoever_is_first():
    for seat in SEATS[MEETING_ID]:
        env = gymnasium.make(MEETING_ID, seat=seat)
        others = [name for name in SEATS[MEETING_ID] if name != seat]
        seated = OtherSeats(env, dict.fromkeys(others, Scripted(delay_s=0.1)))
        seated.reset(seed=0)
        started = time.perf_counter()
        seated.step("park")
        assert time.perf_counter() - started < 0.19


def test_other_seats_are_checked_and_failures_are_raised():
    env = gymnasium.make(GUESS_ID)
    with pytest.raises(UnknownNameError, match="Unknown seat 'zoe'"):
        OtherSeats(env, {"zoe": ExpertAgent()})
    with pytest.raises(UsageError, match=r"'ann' is played through step\(\)"):
        OtherSeats(env, {"ann": ExpertAgent()})
    with pytest.raises(UnknownNameError, match=r"Unknown seat 'bob'\. There are none"):
        OtherSeats(gymnasium.make(COUNTER_ID), {"bob": ExpertAgent()})
    seated = OtherSeats(env, {"bob": Scripted(fails={1: ModelError("down")})})
    seated.reset(seed=0)
    with pytest.raises(ModelError, match="down"):
        seated.step("3")


def test_the_toys_are_what_they_say():
    assert (GuessEnv.seats, DrawersEnv.seats) == (SEATS[GUESS_ID], SEATS[DRAWERS_ID])
