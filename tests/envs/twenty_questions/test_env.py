import math

import gymnasium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.core import Agent
from palaestra.agents.reference import ExpertAgent
from palaestra.agents.rollout.engine import EpisodePlan, RolloutEngine
from palaestra.agents.seats import OtherSeats, Seats
from palaestra.envs.registration import list_envs
from palaestra.envs.twenty_questions.env import TwentyQuestionsEnv
from palaestra.envs.twenty_questions.players import FORGET_RATE, LIE_RATE, best_question
from palaestra.envs.twenty_questions.things import Question, ontology
from palaestra.envs.twenty_questions.world import NO, UNKNOWN, YES, Asked, QuestionWorld
from palaestra.errors import ConfigError, UnknownNameError
from palaestra.types import Message, ToolCall

SEATS = ("asker", "answerer", "judge")


def play(env, actions, **options):
    """Play actions, or what `actions(env)` says, to the end; return the total reward and everything of the last step."""
    total, steps = 0.0, []
    for action in actions:
        steps.append(env.step(action))
        total += steps[-1][1]
        if steps[-1][2] or steps[-1][3]:
            break
    return total, steps


def wrong_question(env):
    """Return a question that is answered with no."""
    world = env.world
    return next(q.text() for q in ontology().questions if world.truth(q) == NO)


@pytest.mark.parametrize("judge", ["", "each", "last"])
@pytest.mark.parametrize("seat", SEATS)
def test_the_expert_of_every_seat_reaches_its_goal(seat, judge):
    if seat == "judge" and not judge:
        return
    env = TwentyQuestionsEnv(seat=seat, judge=judge, max_turns=20)
    for split in env.tasks.splits:
        for i in range(40):
            env.reset(seed=i, options={"task": f"{split}/{i}"})
            total, steps = play(env, env.expert())
            assert (total, steps[-1][2], steps[-1][4]["success"]) == (pytest.approx(1.0), True, True)
            assert not any(step[4]["action_error"] for step in steps)


@pytest.mark.parametrize(("things", "most"), [(2, 2), (8, 5), (16, 7), (64, 10), (96, 11)])
def test_the_expert_asks_about_as_often_as_there_are_bits(things, most):
    env = TwentyQuestionsEnv(things=things)
    used = []
    for i in range(30):
        env.reset(seed=i, options={"split": "test"})
        _, steps = play(env, env.expert())
        used.append(len(steps))
        assert steps[-1][4]["metrics"]["bits"] == pytest.approx(math.log2(things))
        assert steps[-1][4]["metrics"]["questions"] == len(steps)
        assert steps[-1][4]["metrics"].get("true_answers", 1.0) == 1.0
    assert max(used) <= most
    assert sum(used) / len(used) <= math.log2(things) + 1.5


@pytest.mark.parametrize("answerer", ["honest", "liar", "forgetful"])
def test_the_expert_is_better_than_the_other_askers_against_every_answerer(answerer):
    def played(persona, **arguments):
        other = TwentyQuestionsEnv(players={"answerer": answerer}, max_turns=20, **arguments)
        used, found = [], 0
        for i in range(60):
            other.reset(seed=i)
            total, steps = play(other, (other._script("asker", persona) for _ in range(20)))
            used.append(len(steps))
            found += total == 1.0
        return sum(used) / len(used), found

    entropy, random, namer = (played(persona) for persona in ("entropy", "random", "namer"))
    assert entropy[1] >= random[1] > namer[1]
    entropy, random, namer = (played(persona, things=16, guesses=0) for persona in ("entropy", "random", "namer"))
    assert entropy[0] < min(random[0], namer[0])


def test_players_lie_and_forget_at_their_rates_by_seed():
    for persona, rate in (("liar", LIE_RATE), ("forgetful", FORGET_RATE)):
        env = TwentyQuestionsEnv(players={"answerer": persona}, max_turns=20)
        said, untrue = [], 0
        for i in range(60):
            env.reset(seed=i)
            for _ in range(6):
                *_, info = env.step(wrong_question(env))
                assert not info["action_error"]
            untrue += sum(not env.world.is_true(one) for one in env.world.asked)
            said.append([one.answer for one in env.world.asked])
        assert untrue / 360 == pytest.approx(rate, abs=0.06)
        again = TwentyQuestionsEnv(players={"answerer": persona}, max_turns=20)
        for i, answers in enumerate(said):
            again.reset(seed=i)
            for _ in range(6):
                again.step(wrong_question(again))
            assert [one.answer for one in again.world.asked] == answers


def test_the_asker_hears_yes_no_or_i_do_not_know_whatever_the_words():
    env = TwentyQuestionsEnv()
    for words, heard in (
        ("Yes, and it is red!", "Yes."),
        ("nope", "No."),
        ("I don't know, it is the dowick", "I do not know."),
    ):
        env.reset(seed=0, options={"seats": ("answerer",)})
        env.step("Is it red?")
        observation, *_ = env.step(words)
        assert observation == heard


def test_a_name_is_settled_by_the_world_and_costs_a_message():
    env = TwentyQuestionsEnv(things=16, guesses=0, max_turns=3, players={"answerer": "liar"})
    env.reset(seed=0)
    others = [name for name in env.world.things if name != env.world.secret]
    observation, reward, terminated, _, info = env.step(f"Is it the {others[0]}?")
    assert (observation, reward, terminated) == (f"No, it is not the {others[0]}.", 0.0, False)
    assert "metrics" not in info
    assert env._measured() == {"questions": 1.0, "bits": math.log2(16 / 15)}
    observation, reward, terminated, _, info = env.step(f"I guess it is the {env.world.secret}")
    assert (reward, terminated, info["success"], info["stop_reason"]) == (1.0, True, True, "success")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(2, 30), st.integers(0, 499), st.randoms(use_true_random=False))
def test_who_only_names_wins_as_many_games_as_it_may_name_things(guesses, things, number, random):
    env = TwentyQuestionsEnv(things=things, guesses=guesses)
    env.reset(seed=number, options={"task": f"test/{number}"})
    names = random.sample(env.world.things, things)
    total, steps = play(env, names)
    place = names.index(env.world.secret)
    assert len(steps) == min(place + 1, guesses)
    assert total == float(place < guesses)
    assert steps[-1][2]
    assert steps[-1][4]["success"] is (place < guesses)


def test_a_wrong_name_loses_the_game_and_the_answers_are_paid():
    env = TwentyQuestionsEnv(judge="last")
    _, info = env.reset(seed=0, options={"seats": SEATS})
    assert "a wrong name loses the game" in info["seats"]["asker"]["instructions"]
    wrong = next(name for name in env.world.things if name != env.world.secret)
    env.step("Is it red?")
    env.step(env.world.truth(env.world.asked[0].question))
    observation, _, terminated, _, info = env.step(f"It is the {wrong}.")
    assert (info["seat"], terminated) == ("judge", False)
    assert "How many of the 1 answers were true?" in observation
    assert env.observation_of("asker") == f"No, it is not the {wrong}. The game is lost."
    *_, terminated, truncated, info = env.step("1")
    assert (terminated, truncated, info["success"], info["stop_reason"]) == (True, False, False, "failure")
    assert info["rewards"] == {"answerer": 1.0, "judge": 1.0}


@pytest.mark.parametrize("guesses", [-1, 1.0, True, "1", None])
def test_a_number_of_guesses_is_checked(guesses):
    with pytest.raises(ConfigError, match="0 for no limit"):
        TwentyQuestionsEnv(guesses=guesses)


def test_the_former_version_is_made_with_a_warning_and_plays_by_its_rules():
    assert "palaestra/TwentyQuestions-v0" not in list_envs()
    with pytest.warns(DeprecationWarning, match="v1"):
        env = gymnasium.make("palaestra/TwentyQuestions-v0")
    _, info = env.reset(seed=0, options={"task": "test/0"})
    assert info["instructions"].endswith("You win when you name the thing.")
    names = env.unwrapped.world.things
    assert len(names) == 16
    total, steps = play(env, sorted(names, key=lambda name: name == env.unwrapped.world.secret))
    assert (total, len(steps)) == (1.0, 16)


@pytest.mark.parametrize("last", ["Is it red?", "tell me", "x" * 100_001])
def test_running_out_of_messages_ends_the_game_and_the_answers_are_paid(last):
    env = TwentyQuestionsEnv(max_turns=2, judge="last")
    _, info = env.reset(seed=0, options={"seats": SEATS})
    paid = dict.fromkeys(SEATS, 0.0)
    moves = {"asker": ["Is it a bird?", last], "answerer": ["yes", "yes"], "judge": ["1"]}
    while True:
        result = env.step(moves[info["seat"]].pop(0))
        info = result[4]
        paid = {seat: paid[seat] + info["rewards"].get(seat, 0.0) for seat in SEATS}
        if result[2] or result[3]:
            break
    num = len(env.world.answered)
    assert (result[3], info["stop_reason"], info["success"]) == (True, "max_rounds", False)
    assert paid["asker"] == 0.0
    assert paid["answerer"] == 1 / num
    assert paid["judge"] == 1 - abs(1 - env.world.num_true) / num
    assert "judge" not in info["won"] or env.world.num_true == 1


def test_a_judge_of_each_answer_corrects_what_the_asker_hears():
    env = TwentyQuestionsEnv(judge="each")
    _, info = env.reset(seed=0, options={"seats": SEATS})
    question = next(q for q in ontology().questions if env.world.truth(q) == YES)
    for answer, verdict, heard in [
        ("no", "overrule", "Yes."),
        ("no", "uphold", "No."),
        ("yes", "uphold", "Yes."),
        ("yes", "overrule", "No."),
        ("I do not know", "overrule", "Yes."),
        ("I do not know", "uphold", "I do not know."),
    ]:
        assert info["seat"] == "asker"
        *_, info = env.step(question.text())
        observation, *_, info = env.step(answer)
        assert info["seat"] == "judge"
        assert question.text() in observation
        observation, *_, info = env.step(verdict)
        assert observation == heard
    *_, info = env.step(env.world.secret)
    assert info["rewards"] == {"asker": 1.0, "answerer": 2 / 6, "judge": 3 / 6}
    assert info["won"] == ["asker"]


def test_lies_that_nobody_corrects_lose_the_answerer_its_success_not_the_asker():
    env = TwentyQuestionsEnv(seat="answerer", max_turns=20)
    env.reset(seed=0)
    truth = env.world.truth(env.world.asked[0].question)
    env.step("no" if truth == YES else "yes")
    total, steps = play(env, env.expert())
    assert total == 1 - 1 / len(env.world.answered)
    assert not steps[-1][4]["success"]
    assert steps[-1][4]["metrics"]["true_answers"] == pytest.approx(total)


def test_each_seat_is_told_what_it_may_know():
    env = TwentyQuestionsEnv(judge="each", players={"answerer": "liar"}, max_turns=7)
    observation, info = env.reset(seed=0, options={"seats": SEATS})
    about, secret = info["seats"], env.world.secret
    assert info["format"] == "text"
    assert "7 messages" in about["asker"]["instructions"]
    assert about["asker"]["private"] == {"things": env.world.things}
    assert observation.count("\n- ") == 64
    assert secret not in about["asker"]["instructions"].replace(f"Is it the {env.world.things[0]}", "")
    assert "wrong answer about once in seven" in about["answerer"]["instructions"]
    assert about["answerer"]["private"]["secret"] == secret
    assert about["answerer"]["private"]["persona"] == "liar"
    for seat in ("answerer", "judge"):
        assert env.observation_of(seat).startswith(f"The thing is the {secret}: ")
    assert "uphold" in about["judge"]["instructions"]
    assert all(one["format"] == "text" for one in about.values())


def test_things_may_be_called_by_numbers():
    env = TwentyQuestionsEnv(labels="numbers", things=12, guesses=0, max_turns=20)
    for seed in range(20):
        observation, info = env.reset(seed=seed)
        assert not any(name in observation + info["instructions"] for name in env.world.things)
        assert env.private("asker") == {"things": [str(number) for number in range(1, 13)]}
        total, steps = play(env, env.expert())
        assert total == 1.0
        number = env.world.things.index(env.world.secret) + 1
        assert steps[-1][0] == f"Yes, it is number {number}!"
    for text in ("Is it number 3?", "3", "I guess 3", "Is it the number 3", "My answer is 3."):
        env.reset(seed=1, options={"task": "train/5"})
        env.step(text)
        assert env.world.named == [env.world.things[2]]
    for text in ("Is it number 13?", "Is it number 0?", "Is it the dowick?", "Is it number \u0663?"):
        *_, info = env.step(text)
        assert 'name a thing: "Is it number 1?"' in info["action_error"]


def test_calls_of_tools_are_refused():
    env = TwentyQuestionsEnv()
    env.reset(seed=0)
    *_, info = env.step(Message("assistant", tool_calls=(ToolCall("ask", {}, "1"),)))
    assert info["action_error"].startswith("There are no tools here; write plain text. Ask one yes/no question")
    *_, info = env.step(Message("assistant", "Is it red?"))
    assert not info["action_error"]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**20), st.lists(st.tuples(st.integers(0, 120), st.sampled_from([YES, NO, UNKNOWN])), max_size=12))
def test_what_fits_is_what_no_heard_answer_rules_out(seed, heard):
    env = TwentyQuestionsEnv(things=12)
    env.reset(seed=seed)
    world = env.world
    questions = ontology().questions
    world.asked = [Asked(*questions[number % len(questions)], answer=answer, heard=answer) for number, answer in heard]
    misfits = {
        name: sum(
            one.heard != UNKNOWN and one.question.holds(ontology().thing(name)) != (one.heard == YES) for one in world.asked
        )
        for name in world.things
    }
    assert world.suspects() == [name for name in world.things if misfits[name] == min(misfits.values())]
    question = best_question(world)
    assert question not in {one.question for one in world.asked}
    if question.attribute != "name":
        yes = sum(question.holds(ontology().thing(name)) for name in world.suspects())
        assert 0 < yes < len(world.suspects())
        gain = min(yes, len(world.suspects()) - yes)
        for other in questions:
            count = sum(other.holds(ontology().thing(name)) for name in world.suspects())
            assert other in {one.question for one in world.asked} or min(count, len(world.suspects()) - count) <= gain
    assert QuestionWorld.from_json(world.to_json()) == world.copy() == world


class Watching(Agent):
    """Asks the same question and keeps the infos that it was given."""

    def __init__(self):
        self.infos = []

    async def aact(self, observation, info):
        self.infos.append(dict(info))
        return Message("assistant", "Is it big?")

    def fork(self):
        return self


@pytest.mark.parametrize("others", [(), ("answerer",)])
def test_no_asker_is_told_by_a_metric_that_it_was_lied_to(others):
    def make_env(plan):
        return TwentyQuestionsEnv(players={"answerer": "liar"})

    agent = Watching()
    plans = [EpisodePlan(str(seed), "palaestra/TwentyQuestions-v1", seed=seed, max_turns=4) for seed in range(6)]
    episodes = RolloutEngine(1).collect(plans, Seats(agent, answerer=ExpertAgent()) if others else agent, make_env=make_env)
    assert len(agent.infos) == 4 * len(plans)
    assert not any("metrics" in info for info in agent.infos)
    for episode in episodes:
        assert episode.outcome.metrics.keys() == {"questions", "bits", "true_answers"}
        own = episode.of_seat("asker" if others else "")
        assert ["metrics" in step.info for step in own.steps] == [False, False, False, True]
        assert own.steps[-1].info["metrics"] == episode.outcome.metrics
    if not others:
        assert min(episode.outcome.metrics["true_answers"] for episode in episodes) < 1.0


def test_a_plain_loop_with_other_agents_is_told_no_metric_before_the_end():
    with OtherSeats(TwentyQuestionsEnv(max_turns=3), {"answerer": ExpertAgent()}) as env:
        env.reset(seed=0)
        infos = [env.step("Is it big?")[4] for _ in range(3)]
    assert ["metrics" in info for info in infos] == [False, False, True]


def test_bits_count_what_the_true_answers_leave():
    env = TwentyQuestionsEnv(things=8, players={"answerer": "liar"})
    env.reset(seed=3)
    world, asked = env.world, []
    for question in ontology().questions[::9]:
        env.step(question.text())
        asked.append(question)
        truths = [question.holds(world.thing()) for question in asked]
        left = [n for n in world.things if [q.holds(ontology().thing(n)) for q in asked] == truths]
        assert env._measured()["bits"] == pytest.approx(math.log2(8 / len(left)))


def test_arguments_are_checked():
    with pytest.raises(UnknownNameError, match="Unknown judge 'always'"):
        TwentyQuestionsEnv(judge="always")
    with pytest.raises(UnknownNameError, match="Unknown kind of labels 'letters'"):
        TwentyQuestionsEnv(labels="letters")
    with pytest.raises(UnknownNameError, match="Unknown seat 'judge'"):
        TwentyQuestionsEnv(seat="judge")
    with pytest.raises(UnknownNameError, match="Did you mean 'liar'"):
        TwentyQuestionsEnv(players={"answerer": "lier"})
    assert Question("has", "=", "handle").text() == "Does it have a handle?"
