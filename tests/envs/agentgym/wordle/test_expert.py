"""The expert of Wordle: it never says what is excluded without need, and wins whatever is drawn."""

import numpy as np

from palaestra.envs.agentgym.wordle.env import WordleEnv
from palaestra.envs.agentgym.wordle.expert import best_guess
from palaestra.envs.agentgym.wordle.tasks import own_words
from palaestra.envs.agentgym.wordle.world import NUM_TRIES, WordleWorld, WordList


def test_the_expert_solves_200_test_tasks_and_agrees_with_all_answers():
    env = WordleEnv()
    for task in env.tasks.split("test").first(200):
        env.reset(options={"task": task})
        for action in env.expert():
            assert action.replace(" ", "") in env.world.left, "it says a word that is excluded"
            _, reward, terminated, _, info = env.step(action)
        assert (reward, terminated, info["success"]) == (1.0, True, True), task.key


def test_words_that_differ_in_one_letter_are_told_apart_by_another_word():
    words = ["light", "might", "night", "right", "sight", "fight", "tight", "eight", "money", "refer", "slots"]
    for seed in range(40):
        world = WordleWorld(WordList(words), seed)
        for used in range(NUM_TRIES):
            world.act(best_guess(world, NUM_TRIES - used))
            if world.is_solved:
                break
        assert world.is_solved, f"seed {seed}: {world.guesses}"


def test_from_any_state_that_can_be_won_the_expert_wins():
    rng = np.random.default_rng(0)
    words = own_words("train")
    for seed in range(30):
        world = WordleWorld(WordList([words[i] for i in rng.choice(len(words), 40, replace=False)]), seed)
        for _ in range(2):  # somebody else began, badly
            if not world.is_solved:
                world.act(world.words.words[int(rng.integers(40))])
        while not world.is_solved and len(world.guesses) < NUM_TRIES:
            world.act(best_guess(world, NUM_TRIES - len(world.guesses)))
        assert world.is_solved
