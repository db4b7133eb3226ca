"""Wordle: what guesses tell, which words are left, when a game is won."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.agentgym.wordle.tasks import own_words
from palaestra.envs.agentgym.wordle.world import WordleWorld, WordList

WORDS = own_words("train")[:60]
games = st.tuples(st.lists(st.sampled_from(WORDS), min_size=2, max_size=20, unique=True), st.integers(0, 2**31))


def agrees(word, told):
    """Whether a word agrees with what was told, said letter by letter and slowly."""
    for guess, hidden in told:
        for position, letter in enumerate(guess):
            if (word[position] == letter) != (hidden[position] == letter):
                return False
            if (letter in word) != (letter in hidden):
                return False
    return True


@given(games, st.data())
@settings(max_examples=80, deadline=None)
def test_the_words_left_are_those_that_agree_with_every_answer(game, data):
    words, seed = game
    world, draws = WordleWorld(WordList(words), seed), random.Random(seed)
    told, left = [], list(words)
    for _ in range(6):
        guess = data.draw(st.sampled_from(words))
        told.append((guess, draws.choice(left)))  # one draw for each guess, among the words that agree
        reply = world.act(" ".join(guess))
        left = [word for word in words if agrees(word, told)]
        assert list(world.left) == left
        assert reply.is_solved == (len(left) == 1 and left[0] in [pair[0] for pair in told])
        for position, (letter, mark) in enumerate(zip(guess, reply.text.split(), strict=True)):
            assert mark == ("g" if left[0][position] == letter else "y" if letter in left[0] else "b")
        if reply.is_solved:
            assert reply.text == "g g g g g\n" or guess != left[0]
            break


@given(games, st.text(max_size=8) | st.sampled_from(["", "pan", "panics", "CRIMP", "crèpe", "ｃrane", "zzzzz", "c-r-a"]))
@settings(max_examples=60, deadline=None)
def test_what_is_not_a_word_of_the_list_changes_nothing_and_draws_nothing(game, text):
    words, seed = game
    world, twin = (WordleWorld(WordList(words), seed) for _ in range(2))
    if text.strip().replace(" ", "") not in words:
        reply = world.act(text)
        assert (reply.text, reply.is_known, reply.is_solved) == ("invalid word", False, False)
        assert world == twin
    assert world.act(words[0]) == twin.act(words[0])


def test_repeated_letters_are_looked_at_alone():
    words = WordList(["skill", "solar", "llama", "sadly"])
    assert words.answer("skill", "solar").marks == "g b b y y"
    assert words.answer("llama", "solar").marks == "y y y b y"
    assert words.named(words.answer("skill", "solar").agreeing) == ["solar"]
    assert words.named(words.answer("skill", "sadly").agreeing) == ["sadly"]


@given(games, st.data())
@settings(max_examples=30, deadline=None)
def test_a_game_travels_as_json(game, data):
    world = WordleWorld(WordList(game[0]), game[1])
    for guess in data.draw(st.lists(st.sampled_from(game[0]), max_size=5)):
        if not world.is_solved:
            world.act(guess)
    twin = WordleWorld.from_json(world.to_json())
    assert twin == world == world.copy()
    assert list(twin.left) == list(world.left)
    if not world.is_solved:
        assert twin.act(game[0][0]) == world.act(game[0][0])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "0 words"),
        (["crane", "crane"], "twice"),
        (["cran"], "five"),
        (["Crane"], "five"),
        (["crèpe"], "five"),
        ([""], "five"),
    ],
)
def test_what_is_not_a_list_is_refused(words, problem):
    with pytest.raises(ValueError, match=problem):
        WordList(words)


@pytest.mark.parametrize("guesses", [["zzzzz"], ["brave"] * 7, "brave", [1], ["brave", "brave"]])
def test_guesses_that_cannot_have_been_made_are_refused(guesses):
    with pytest.raises((TypeError, ValueError)):
        WordleWorld.after(WordList(["brave"]), 0, guesses)
