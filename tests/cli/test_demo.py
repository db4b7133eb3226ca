from __future__ import annotations

import json
import shlex

import pytest

from palaestra.algorithms.run.packaged import packaged_recipes
from palaestra.cli.demo import RECIPE
from tests.cli.test_train import recipe  # noqa: F401  (a fixture)


def test_the_demo_trains_its_recipe_and_goes_on_when_asked(palaestra_run, recipe, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("palaestra.cli.demo.RECIPE", str(recipe))
    words = ("demo", "--runs", tmp_path / "runs", "--run", "d")
    ran = palaestra_run(*words, *shlex.split("--set 'phases=[\"sft\"]' --set 'evaluation.baselines=[\"random\"]'"))
    assert ran.code == 0, ran.err
    assert "random" in ran.out
    assert "cloned" in ran.out
    assert (tmp_path / "runs" / "d" / "report.html").exists()
    again = json.loads(palaestra_run(*words, "--json").out)
    assert (again["run_id"], set(again["arms"])) == ("d", {"random", "cloned"})


def test_the_recipe_of_the_demo_and_all_others_can_be_read():
    from palaestra.algorithms.run.recipe import load_recipe

    if not packaged_recipes():
        pytest.skip("there are no recipes beside this package")
    assert RECIPE in packaged_recipes()
    for path in packaged_recipes().values():
        assert load_recipe(path).phases
