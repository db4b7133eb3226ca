from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import palaestra
from palaestra.cli.init import PACKAGES, TEMPLATES, Kind, names_of, write_package
from palaestra.errors import UsageError
from tests.packages import write_metadata

CHECKOUT = Path(palaestra.__file__).parents[1]


def run(folder: Path, *words: str, path: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with the checkout and further folders on its path."""
    places = os.pathsep.join(map(str, (CHECKOUT, *path)))
    env = {**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_package_passes_its_own_tests(kind: Kind, palaestra_run, tmp_path: Path) -> None:
    name = f"River-crossing_{kind}"
    ran = palaestra_run("init", kind, name, "--folder", tmp_path)
    assert (ran.code, ran.err) == (0, "")
    root = tmp_path / name
    assert f"pip install -e {root}" in ran.out
    done = run(root, "-m", "pytest", "-q", "-W", "error", "-p", "no:asyncio", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr

    module = f"river_crossing_{kind}"
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [group] = project["entry-points"]
    assert group == f"palaestra.{kind}s"
    assert list(project["entry-points"][group]) == [module]
    for path in root.rglob("*"):
        assert "$" not in path.name
        assert path.suffix != ".tmpl"

    site = tmp_path / "site"
    write_metadata(site, project)
    find = {
        Kind.ENV: f"import palaestra; assert '{module}/RiverCrossing-v0' in palaestra.list_envs()",
        Kind.AGENT: f"from palaestra.agents import list_agents; assert '{module}' in list_agents()",
        Kind.ALGORITHM: f"from palaestra.algorithms import get_algorithm; assert get_algorithm('{module}').learner",
        Kind.BACKEND: f"from palaestra.agents import make_backend; make_backend('{module}:m', base_url='http://127.0.0.1:9')",
    }
    done = run(tmp_path, "-c", find[kind], path=(site, root))
    assert done.returncode == 0, done.stderr
    if kind is Kind.ENV:
        env_id = f"{module}/RiverCrossing-v0"
        done = run(tmp_path, "-m", "palaestra.cli.main", "check", env_id, path=(site, root))
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", PACKAGES)
def test_what_is_written_is_tidy(kind: Kind, tmp_path: Path) -> None:
    write_package(kind, names_of("neat", kind), tmp_path / "neat")
    ruff = [sys.executable, "-m", "ruff"]
    config = "lint.isort.known-third-party=['palaestra']"
    width = ["--isolated", "--line-length", "127", "."]
    checked = subprocess.run(
        [*ruff, "check", "--no-cache", "--select", "E,F,I,UP,B", "--config", config, *width],
        cwd=tmp_path / "neat",
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout
    formatted = subprocess.run(
        [*ruff, "format", "--no-cache", "--check", *width], cwd=tmp_path / "neat", capture_output=True, text=True
    )
    assert formatted.returncode == 0, formatted.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "expected ASCII letters"),
        ("../up", "expected ASCII letters"),
        ("1st", "expected ASCII letters"),
        ("über", "expected ASCII letters"),
        ("trailing-", "expected ASCII letters"),
        ("class", "a word of Python's own"),
        ("json", "There is a module 'json' already"),
        ("palaestra", "There is a module 'palaestra' already"),
    ],
)
def test_a_name_that_no_package_can_have_is_refused(refused, tmp_path: Path, name: str, message: str) -> None:
    refused("init", "agent", name, "--folder", tmp_path, match=message)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(refused, palaestra_run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept", encoding="utf-8")
    refused("init", "backend", "mine", "--folder", tmp_path, match="is there already; choose another NAME or --folder")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    assert palaestra_run("init", "backend", "yours", "--folder", tmp_path).code == 0
    refused("init", "backend", "yours", "--folder", tmp_path, match="is there already")


def test_an_unknown_kind_names_the_kinds(refused, tmp_path: Path) -> None:
    refused("init", "world", "mine", "--folder", tmp_path, match="'world' is not one of 'env', 'agent', 'algorithm'")


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}([-_][A-Za-z0-9]{1,8}){0,3}", fullmatch=True), st.sampled_from(PACKAGES))
def test_every_name_gives_identifiers(name: str, kind: Kind) -> None:
    try:
        words = names_of(f"xq-{name}", kind)
    except UsageError:
        return
    assert words["module"].isidentifier()
    assert words["module"] == words["module"].lower()
    assert f"{words['Class']}Env".isidentifier()


def test_only_recipes_take_arguments(refused, tmp_path: Path) -> None:
    refused("init", "env", "mine", "--set", "depth=3", "--folder", tmp_path, match="--set is for recipes")


def test_every_kind_has_templates() -> None:
    assert {path.name for path in TEMPLATES.iterdir() if path.is_dir()} == set(PACKAGES)
