from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import palaestra
from palaestra.agents import ScriptedBackend, list_agents, list_backends, make_agent
from palaestra.algorithms import algorithm_names
from palaestra.cli.init import PACKAGES, TEMPLATES, Kind, names_of, write_package
from palaestra.errors import UsageError
from tests.packages import MADE

CHECKOUT = Path(palaestra.__file__).parents[1]
PURELIB = "import sysconfig; print(sysconfig.get_paths()['purelib'])"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment in which pip has installed a package of each kind, as the command wrote it."""
    folder, paths = tmp_path_factory.mktemp("venv"), sysconfig.get_paths()
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    site = Path(subprocess.run([python, "-c", PURELIB], capture_output=True, text=True, check=True).stdout.strip())
    (site / "palaestra-and-all.pth").write_text(
        "\n".join([str(CHECKOUT), paths["purelib"], paths["platlib"]]), encoding="utf-8"
    )
    for kind in PACKAGES:
        words = ["init", kind, f"River-crossing_{kind}", "--folder", str(folder)]
        done = in_venv(folder, "-m", "palaestra.cli.main", *words)
        assert done.returncode == 0, done.stderr
        assert f"pip install -e {folder / f'River-crossing_{kind}'}" in done.stdout
    roots = [str(folder / f"River-crossing_{kind}") for kind in PACKAGES]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "-q"]
    done = in_venv(folder, "-W", "ignore", "-m", "pip", "install", *options, *roots)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def in_venv(folder: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the Python of the virtual environment, with nothing on its path but what is installed there."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [str(folder / "venv" / "bin" / "python"), *words]
    return subprocess.run(command, cwd=cwd or folder / "venv", env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_package_passes_its_own_tests_where_pip_installed_it(kind: Kind, installed: Path, tmp_path: Path) -> None:
    root = installed / f"River-crossing_{kind}"
    shutil.copytree(root / "tests", tmp_path / "tests")  # away from the sources: what is imported is what was installed
    plain = ["-q", "-W", "error", "-p", "no:asyncio", "-p", "no:cacheprovider"]
    done = in_venv(installed, "-m", "pytest", *plain, "tests", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr

    module = f"river_crossing_{kind}"
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [group] = project["entry-points"]
    assert group == f"palaestra.{kind}s"
    assert list(project["entry-points"][group]) == [module]
    for path in root.rglob("*"):
        assert "$" not in path.name
        assert path.suffix != ".tmpl"
    find = {
        Kind.ENV: f"import palaestra; assert '{module}/RiverCrossing-v0' in palaestra.list_envs()",
        Kind.AGENT: f"from palaestra.agents import list_agents; assert '{module}' in list_agents()",
        Kind.ALGORITHM: f"from palaestra.algorithms import get_algorithm; assert get_algorithm('{module}').learner",
        Kind.BACKEND: f"from palaestra.agents import make_backend; make_backend('{module}:m', base_url='http://127.0.0.1:9')",
    }
    where = f"import {module}; assert 'site-packages' in {module}.__file__; "
    done = in_venv(installed, "-c", where + find[kind])
    assert done.returncode == 0, done.stderr
    if kind is Kind.ENV:
        done = in_venv(installed, "-m", "palaestra.cli.main", "check", f"{module}/RiverCrossing-v0")
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_packages_that_the_tests_install_are_in_the_registries() -> None:
    assert set(MADE) == set(PACKAGES)
    assert "number_guess/NumberGuess-v0" in palaestra.list_envs()
    assert "last_line" in list_agents()
    assert "reinforce" in algorithm_names()
    assert "plain_server" in list_backends()
    agent = make_agent("last_line", model=ScriptedBackend(lambda request: "I halve what is left.\n50"))
    done = palaestra.evaluate("number_guess/NumberGuess-v0", agent, n=2, max_turns=2)
    assert done.summary.errors == {}
    assert done.config["agent"] == "last_line"


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


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Kind.AGENT, list_agents),
        (Kind.BACKEND, list_backends),
        (Kind.ALGORITHM, algorithm_names),
    ],
)
def test_a_name_that_a_registry_holds_is_refused(refused, tmp_path: Path, kind: Kind, names) -> None:
    taken = [name for name in names() if importlib.util.find_spec(name.replace("-", "_")) is None]
    assert taken
    for name in taken:
        for spelled in {name, name.replace("_", "-")} - {"class"}:
            told = refused("init", kind, spelled, "--folder", tmp_path, match=f"There is an? {kind} '.*' already")
            assert f"e.g. my-{spelled}" in told
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(refused, palaestra_run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept", encoding="utf-8")
    refused("init", "backend", "mine", "--folder", tmp_path, match="is there already; choose another NAME or --folder")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    assert palaestra_run("init", "backend", "yours", "--folder", tmp_path).code == 0
    refused("init", "backend", "yours", "--folder", tmp_path, match="is there already")


def test_an_unknown_kind_names_the_kinds(refused, tmp_path: Path) -> None:
    refused("init", "world", "mine", "--folder", tmp_path, match="'kind': 'world' is not one of 'env', 'agent', 'algorithm'")


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
