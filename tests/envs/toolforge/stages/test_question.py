"""Questions in words, and read back: every phrase of the catalogue means one thing."""

import itertools

import pytest

from palaestra.envs.toolforge.build import build_many
from palaestra.envs.toolforge.stages.catalogue import catalogue
from palaestra.envs.toolforge.stages.question import SEPARATOR, meanings

RELATIONS = catalogue().relations.values()


def test_the_catalogue_is_as_large_as_it_says():
    assert len(catalogue().labels) >= 12
    assert len(RELATIONS) >= 60
    assert {type_ for relation in RELATIONS for type_ in relation.sources} == {*catalogue().labels}


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
def test_every_phrase_means_its_relation_and_nothing_else(relation):
    forms = relation.forms()
    assert len(forms) == len({*forms}) >= 4
    ends = ["Ama", "Bero"][: len(relation.sources)]
    for form in forms:
        text = form.format(**{slot: f'"{end}"' for slot, end in zip("xy", ends, strict=False)})
        assert meanings(f"What is {text}?") == [["identity", [relation.name, *ends]]]


@pytest.mark.parametrize("type_", catalogue().labels)
def test_every_type_has_relations_that_lead_to_it_and_away(type_):
    """Two that lead there, so that none has to follow itself; five that start there, so that a tool can cover five."""
    assert sum(relation.target == type_ and not relation.is_binary for relation in RELATIONS) >= 2
    assert sum(relation.sources == (type_,) for relation in RELATIONS) >= 5


def test_phrases_nest():
    text = 'What is the mayor of the city where the company that built the ship "Ama" is based?'
    assert meanings(text) == [["identity", ["mayor", ["headquarters", ["shipyard", "Ama"]]]]]


def test_types_have_to_fit():
    assert meanings('What is the mayor of the ship "Ama"?') == []
    assert meanings('What is the mayor of the founder of "Ama"?') == []
    assert meanings('What is the mayor of the population of "Ama"?') == []


@pytest.mark.parametrize("operation", catalogue().questions)
def test_every_template_is_read_back(operation):
    phrases = [f'the population of "{name}"' for name in ("Ama", "Bero", "Kilu")]
    asked = [["population", name] for name in ("Ama", "Bero", "Kilu")]
    for form in catalogue().questions[operation]:
        count = 1 if operation == "identity" else 2 if "{b}" in form else 3
        if "{noun}" in form:
            text = form.format(noun="population", items='"Ama"; the city "Bero"')
            assert meanings(text) == [[operation, ["population", "Ama"], ["population", "Bero"]]]
        else:
            text = form.format(a=phrases[0], b=phrases[1], items=SEPARATOR.join(phrases[:count]))
            assert meanings(text) == [[operation, *asked[:count]]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "What is ?",
        'What is "Ama',
        "Hello.",
        'What is the mayor "Ama"?',
        'What is the mayor of "Ama"? And then?',
        "}{",
        '"Ama"',
    ],
)
def test_other_texts_mean_nothing(text):
    assert meanings(text) == []


def test_a_name_alone_can_be_asked_for_and_is_never_built():
    assert meanings('What is "Ama"?') == [["identity", "Ama"]]


def test_paraphrases_vary():
    starts = {one.question.split(" ")[0] for one in build_many("paper_like", count=60)}
    assert len(starts) >= 4


def test_names_in_between_are_never_named():
    for instance in itertools.chain(build_many("paper_like", scenario="multi_hop", count=20), build_many("easy", count=20)):
        for node in instance.nodes:
            assert str(node.answer).casefold() not in instance.question.casefold()
