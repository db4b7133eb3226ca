import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import Field

import palaestra
from palaestra.algorithms.config import Config

ROOT = Path(__file__).parents[2]
FRONT = ("palaestra", "palaestra.envs", "palaestra.agents", "palaestra.algorithms", "palaestra.models")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")


class Inner(Config):
    """A group."""

    low: float = Field(default=0.2, gt=0)
    """Lower bound."""


class Outer(Config):
    """A table."""

    inner: Inner = Inner(low=0.1)
    """The group."""
    size: int
    """How many."""


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_what_the_docstrings_say():
    done = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"Run python docs/generate.py; not up to date: {done.stdout}{done.stderr}"


def test_a_page_that_is_not_up_to_date_is_named(generate, tmp_path, monkeypatch, capsys):
    wanted = {tmp_path / "docs" / "reference" / "papers.md": "new\n", tmp_path / "README.md": "kept\n"}
    (tmp_path / "docs" / "reference").mkdir(parents=True)
    (tmp_path / "docs" / "reference" / "gone.md").write_text("old\n")
    (tmp_path / "README.md").write_text("kept\n")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "pages", lambda: wanted)
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().out.split() == ["docs/reference/papers.md", "docs/reference/gone.md"]
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


def test_papers_are_read_from_docstrings(generate):
    found = generate.papers_of(
        """Text.

        Papers:
            GRPO (arXiv:2402.03300): group-relative advantages,
                over whole episodes. Left out: process supervision.
            ADaPT (arXiv:2311.05772): the task.

        More.
        """
    )
    assert [(paper.title, paper.taken, paper.left) for paper in found] == [
        ("GRPO", "group-relative advantages, over whole episodes", "process supervision"),
        ("ADaPT", "the task", ""),
    ]
    with pytest.raises(ValueError, match="is not of the form"):
        generate.papers_of("Text.\n\nPapers:\n    Something without an id.\n", "here")


def test_settings_of_nested_groups_have_dotted_keys(generate):
    rows = list(generate.setting_rows(Outer, ""))
    assert rows == [
        ("`inner.low`", "`float, > 0`", "`0.1`", "Lower bound."),  # as in the table it stands in
        ("`size`", "`int`", "required", "How many."),
    ]


def test_every_page_of_the_docs_is_in_the_index():
    linked = set(LINK.findall((ROOT / "docs" / "README.md").read_text(encoding="utf-8")))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} - {"README.md"}
    assert {page for page in pages if not page.startswith(("reference/environments/", "cards/"))} - linked == set()


def test_every_card_is_in_the_index_of_cards():
    cards = ROOT / "docs" / "cards"
    linked = set(LINK.findall((cards / "README.md").read_text(encoding="utf-8")))
    assert {path.name for path in cards.glob("*.md")} - {"README.md"} == linked


@pytest.mark.parametrize(
    "page",
    sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "experiments").rglob("*.md")}),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_links_between_pages_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"`[^`\n]*\]\([^`\n]*`", "", text)  # code that looks like a link
    assert [target for target in LINK.findall(text) if not (page.parent / target).exists()] == []


def test_the_api_reference_has_every_public_name(tmp_path):
    pytest.importorskip("pdoc", reason="pdoc is not installed (extra dev)")
    subprocess.run([sys.executable, "docs/build.py", str(tmp_path), *FRONT], cwd=ROOT, check=True, capture_output=True)
    for name in FRONT:
        page = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
        missing = [public for public in importlib.import_module(name).__all__ if f'id="{public}"' not in page]
        assert [public for public in missing if not public.startswith("__")] == []


def test_what_a_plug_in_adds_has_pages_too_and_none_among_ours(generate):
    toys = [env_id for env_id in palaestra.list_envs() if env_id.startswith("toys/")]
    assert toys
    assert all(env_id in generate.environment_table("", toys) for env_id in toys)
    page = generate.environment_page("toys/Backwards-v0")
    assert all(metric.about in page for metric in generate.env_class("toys/Backwards-v0").metrics)
    assert "## Seats" in generate.environment_page("toys/Meeting-v0")
    assert "## reinforce" in generate.algorithms_page(["reinforce"])
    recipes = generate.recipe_page(plugins=True)
    assert "## [toys_clip]" in recipes
    assert '### kind = "toys_gpt2"' in recipes
    assert "toys_" not in generate.recipe_page()
    ours = generate.environment_table("") + generate.algorithm_table("")
    assert "toys/" not in ours
    assert "`reinforce`" not in ours
