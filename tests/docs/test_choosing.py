"""The page "who fits and who does not": what it says of us is there, and what it says is not, is not."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import palaestra
from palaestra.agents.export.export import EXPORT_FORMATS
from palaestra.envs.core.text_env import TextEnv

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)]+)\)", PAGE))))
def test_every_page_and_section_that_is_named_is_there(link: str) -> None:
    if link.startswith("https://"):
        return
    name, _, section = link.partition("#")
    text = (ROOT / "docs" / name).read_text(encoding="utf-8") if name else PAGE
    titles = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    assert not section or section in titles


def test_what_is_joined_is_there() -> None:
    for name in re.findall(r"`(examples/[^`]+)`", PAGE):
        assert (ROOT / name).is_file()
    for name in ("TextSpace", "ActionSpace"):
        assert f"`{name}`" in PAGE or f"palaestra.spaces.{name}" in PAGE
        assert hasattr(importlib.import_module("palaestra.spaces"), name)
    assert "palaestra.make_multi_agent" in PAGE
    assert callable(palaestra.make_multi_agent)
    assert "--format eval" in PAGE
    assert {"eval", "jsonl"} <= EXPORT_FORMATS.keys()
    assert issubclass(TextEnv, importlib.import_module("gymnasium").Env)


def test_the_names_for_trl_are_there() -> None:
    pytest.importorskip("trl")
    joined = importlib.import_module("palaestra.algorithms.trl")
    for name in ("environment_class", "EnvironmentRollouts", "to_dataset", "token_dataset", "preference_dataset"):
        assert f"`{name}" in PAGE
        assert hasattr(joined, name)


def test_what_is_not_joined_is_nowhere_in_the_package() -> None:
    ours = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "palaestra").rglob("*.py"))
    imported = set(re.findall(r"^\s*(?:from|import) (\w+)", ours, re.MULTILINE))
    assert not {"verl", "gem", "openenv", "openenv_core", "verifiers", "stable_baselines3", "peft", "inspect_ai"} & imported
