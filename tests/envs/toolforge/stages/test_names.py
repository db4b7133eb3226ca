"""Names and values: none inside another, near names differ in one letter; chance is the same everywhere."""

import pytest

from palaestra.envs.toolforge.stages.catalogue import catalogue
from palaestra.envs.toolforge.stages.draw import Draw
from palaestra.envs.toolforge.stages.names import Names, Reject, common_words, word_pool
from palaestra.envs.toolforge.tables import within_two


@pytest.mark.parametrize("kind", ["names", "codes"])
def test_no_name_stands_inside_another(kind):
    names = Names(Draw("names", kind), kind)
    found = [names.entity(type_) for type_ in ("person", "city") for _ in range(100)]
    found += [names.near(name) for name in found[::10]]
    if kind == "names":
        scalars = [relation for relation in catalogue().relations.values() if relation.is_scalar]
        found += [str(names.scalar(relation)) for relation in scalars for _ in range(5)]
    low = [name.casefold() for name in found]
    assert not [(one, other) for i, one in enumerate(low) for j, other in enumerate(low) if i != j and one in other]
    assert not common_words() & {*low}


@pytest.mark.parametrize("kind", ["names", "codes", "words"])
def test_a_near_name_differs_in_one_letter(kind):
    names = Names(Draw(1), kind)
    for _ in range(30):
        name = names.entity("city")
        near = names.near(name)
        assert sum(a != b for a, b in zip(name, near, strict=True)) == 1
        assert within_two(name, near)


def test_scalars_are_in_their_range():
    names = Names(Draw(2), "names")
    for relation in catalogue().relations.values():
        for _ in range(3):
            if relation.target in ("int", "float"):
                value = names.scalar(relation)
                assert type(value).__name__ == relation.target
                assert relation.low <= value < relation.high + 1
                assert sum(char.isdigit() for char in str(value)) >= 3


def test_the_pool_is_closed_and_runs_out():
    assert len({*word_pool()}) == 144
    names = Names(Draw(3), "words")
    with pytest.raises(Reject, match="no name is left"):
        [names.entity("city") for _ in range(145)]


def test_chance_is_pinned():
    """`random.Random.random` and SHA-256 alone: equal on every platform and Python."""
    draw = Draw("a", 1, [2.5, None])
    assert [draw.below(1000) for _ in range(4)] == [940, 349, 450, 461]
    assert draw.shuffled([1, 2, 3, 4, 5]) == [1, 3, 4, 2, 5]
    assert Draw("a").below(10**6) != Draw("b").below(10**6)


def test_weights_are_kept():
    draw = Draw("weights")
    found = [draw.weighted([("a", 1), ("b", 3), ("c", 0)]) for _ in range(4000)]
    assert 0.22 < found.count("a") / 4000 < 0.28
    assert "c" not in found
    assert {draw.between(2, 4) for _ in range(100)} == {2, 3, 4}
