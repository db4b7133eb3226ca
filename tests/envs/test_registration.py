import contextlib
import pickle
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import gymnasium
import pytest
from gymnasium.envs.registration import registry

import palaestra
from palaestra.envs import registration
from palaestra.envs.core.declared import Declared, declared
from palaestra.envs.registration import (
    env_class,
    find_spec,
    for_tests,
    load_plugins,
    missing,
    register_env,
    register_environments,
    require,
)
from palaestra.errors import ConfigError, MissingExtraError, UnknownNameError, UsageError
from tests.envs.miniature import CounterEnv


@pytest.fixture
def install_plugin(tmp_path, monkeypatch):
    """Install a package on the path of this test whose entry point in our group is VALUE."""

    def install(name: str, value: str, code: str) -> None:
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[palaestra.envs]\n{name} = {value}\n")
        (tmp_path / f"{name}_module.py").write_text(code)

    monkeypatch.syspath_prepend(tmp_path)
    known = set(registry)
    yield install
    for env_id in set(registry) - known:
        del registry[env_id]


def test_importing_registers_the_ids_by_string_entry_points():
    assert {"palaestra/Desk-v0", "palaestra/TextCraft-v0"} <= set(palaestra.list_envs())
    for env_id in palaestra.list_envs():
        spec = gymnasium.spec(env_id)
        assert isinstance(spec.entry_point, str)
        assert isinstance(spec.vector_entry_point, str)
        assert spec.version is not None
        assert gymnasium.envs.registration.EnvSpec.from_json(spec.to_json()) == spec


def test_registering_twice_is_harmless():
    before = dict(registry)
    register_environments()
    assert registry == before


@pytest.mark.parametrize("value", ["alpha_module:register", "alpha_module"])
def test_a_plugin_registers_through_a_function_or_a_module(install_plugin, value):
    call = "" if ":" in value else "register()"
    install_plugin(
        "alpha",
        value,
        "import gymnasium\n"
        "def register():\n"
        f"    gymnasium.register('alpha{len(value)}/Env-v0', entry_point='tests.envs.miniature:CounterEnv')\n"
        f"{call}\n",
    )
    sys.modules.pop("alpha_module", None)
    load_plugins()
    env_id = f"alpha{len(value)}/Env-v0"
    assert env_id in palaestra.list_envs()
    assert gymnasium.make(env_id).reset(seed=0)[0].startswith("number")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise RuntimeError('no licence file')", "RuntimeError: no licence file"),
        ("", "AttributeError"),
        ("x =", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def register(): raise SystemExit('stop here')", "SystemExit: stop here"),
        ("class Odd(BaseException): pass\nraise Odd('what')", "Odd: what"),
    ],
)
def test_a_broken_plugin_is_a_warning_that_names_it_and_the_others_load(install_plugin, code, reason):
    name = f"broken{len(code)}"
    install_plugin(name, f"{name}_module:register", code)
    install_plugin(
        f"sound{len(code)}",
        f"sound{len(code)}_module:register",
        "import gymnasium\n"
        "def register():\n"
        f"    gymnasium.register('sound{len(code)}/Env-v0', entry_point='tests.envs.miniature:CounterEnv')\n",
    )
    with pytest.warns(UserWarning, match=rf"plugin '{name}' of package '{name}'.*{reason}"):
        load_plugins()
    assert f"sound{len(code)}/Env-v0" in palaestra.list_envs()


def test_an_installed_plugin_is_found_by_the_import(install_plugin, tmp_path):
    install_plugin(
        "gamma",
        "gamma_module:register",
        "import gymnasium\n"
        "def register():\n"
        "    gymnasium.register('gamma/Env-v0', entry_point='tests.envs.miniature:CounterEnv')\n",
    )
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import palaestra; print(palaestra.list_envs())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "gamma/Env-v0" in done.stdout


@pytest.fixture
def register():
    """Register the counter under conditions; return its id."""
    known = dict(registry)

    def run(name: str, entry_point: str = "tests.envs.miniature:CounterEnv", **conditions) -> str:
        register_env(f"conditions/{name}-v0", entry_point, **conditions)
        return f"conditions/{name}-v0"

    yield run
    for env_id in set(registry) - set(known):
        del registry[env_id]
        registration._conditions.pop(env_id, None)


@contextlib.contextmanager
def counts_to():
    """The partner of a test: what `for_tests` of a registration names."""
    running.append(True)
    yield {"max_turns": 7}
    running.pop()


@contextlib.contextmanager
def forgets():
    yield {}


running: list[bool] = []
HERE = "tests.envs.test_registration"
CONDITIONS = {
    "program": ({"needs": ("no-such-program",)}, UsageError, "needs no-such-program: there is no program no-such-program"),
    "java": ({"needs": ("java",)}, UsageError, r"needs java: there is no program java on the PATH or .* Install a Java"),
    "browser": ({"needs": ("browser",)}, UsageError, "needs browser: there is no program chromium or .* Install Chromium"),
    "extra": (
        {"extra": "agentgym"},
        MissingExtraError,
        r"needs the extra 'agentgym'. Install it with: pip install 'palaestra\[agentgym\]'",
    ),
    "argument": (
        {"arguments": ("url",), "for_tests": f"{HERE}:counts_to"},
        UsageError,
        r"needs the argument 'url': gymnasium.make\('conditions/argument-v0', url=...\), or --set url=...",
    ),
}


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    """A machine without programs, on which this package has an extra that is not installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    requires = [
        "gymnasium>=1.1",
        'minigrid>=3; extra == "agentgym"',
        "numpy>=1; extra == 'here'",
        'palaestra[here,plain]; extra == "nested"',
        'palaestra[here,agentgym] ; extra == "nested-and-missing"',
        'pytest (>=8) ; extra == "plain"',
        'no-such-package; python_version < "3" and extra == "plain"',
    ]
    versions = {"gymnasium", "numpy", "pytest"}

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(metadata, "requires", lambda name: requires)
    monkeypatch.setattr(metadata, "version", version)


@pytest.mark.parametrize("name", CONDITIONS)
def test_what_is_missing_is_one_line_and_one_error_and_nothing_is_imported(register, bare_machine, name):
    condition, kind, message = CONDITIONS[name]
    nowhere = name != "argument"  # to look at its arguments, Gymnasium imports the class
    env_id = register(name, "no_such_module:Env" if nowhere else "tests.envs.miniature:CounterEnv", **condition)
    line = missing(env_id)
    assert "\n" not in line
    assert re.match(message, line)
    for make in (lambda: gymnasium.make(env_id), lambda: gymnasium.make_vec(env_id, num_envs=2), lambda: require(env_id)):
        with pytest.raises(kind, match=f"{env_id} {message}"):
            make()


def test_several_conditions_are_told_together_and_raised_in_turn(register, bare_machine):
    env_id = register("All", extra="agentgym", needs=("java",), arguments=("url",), for_tests=f"{HERE}:counts_to")
    line = missing(env_id)
    assert [word in line for word in ("extra 'agentgym'", "needs java", "argument 'url'")] == [True] * 3
    assert "argument" not in missing(env_id, ["url"])
    with pytest.raises(MissingExtraError):
        gymnasium.make(env_id, url="x")


@pytest.mark.parametrize(
    ("extra", "is_missing"),
    [("agentgym", True), ("here", False), ("plain", False), ("nested", False), ("nested-and-missing", True)],
)
def test_an_extra_is_missing_if_a_package_of_it_is(register, bare_machine, extra, is_missing):
    assert bool(missing(register("Extra", extra=extra))) == is_missing


def test_an_extra_that_this_package_does_not_have_is_named_as_that(register, bare_machine):
    env_id = register("Typo", "no_such_module:Env", extra="agentgim")
    message = "is registered with the extra 'agentgim', which palaestra does not have; expected one of agentgym, here, nested"
    assert missing(env_id).startswith(message)
    with pytest.raises(UsageError, match=message):
        gymnasium.make(env_id)


def test_without_metadata_of_this_package_its_extras_are_taken_to_be_there(register, monkeypatch):
    def requires(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    assert missing(register("Extra", extra="agentgym")) == ""


def test_a_program_under_another_name_will_do(register, bare_machine, tmp_path):
    env_id = register("Browser", needs=("browser",))
    assert missing(env_id)
    program = tmp_path / "google-chrome"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert missing(env_id) == ""


def test_an_id_whose_conditions_are_met_is_like_any_other(register):
    env_id = register("Met", arguments=("max_turns",), for_tests=f"{HERE}:counts_to", split="test")
    spec = gymnasium.spec(env_id)
    assert gymnasium.envs.registration.EnvSpec.from_json(spec.to_json()) == spec
    env = gymnasium.make(env_id, max_turns=3)
    assert (type(env.unwrapped), env.unwrapped.max_turns, env.unwrapped.default_split) == (CounterEnv, 3, "test")
    assert gymnasium.make(env.spec).unwrapped.max_turns == 3
    assert pickle.loads(pickle.dumps(env)).unwrapped.max_turns == 3
    assert gymnasium.make_vec(env_id, num_envs=2, max_turns=4).envs[0].unwrapped.max_turns == 4
    assert gymnasium.make(env_id, max_turns=3, render_mode="ansi").render_mode == "ansi"
    with pytest.raises(UsageError, match="render mode"), pytest.warns(UserWarning, match="render_mode='rgb_array'"):
        gymnasium.make(env_id, max_turns=3, render_mode="rgb_array")
    assert env_class(env_id) is CounterEnv


def test_the_class_behind_an_id_is_found_whatever_is_missing(register, bare_machine):
    env_id = register("Measured", "tests.envs.miniature:MeasuredEnv", extra="agentgym", needs=("java",))
    assert env_class(env_id).__name__ == "MeasuredEnv"
    assert [metric.name for metric in declared(env_id).metrics] == ["distance", "directness", "lowest"]
    assert declared(register("Gone", "no_such_module:Env", extra="agentgym")) == Declared()
    assert registration.conditions(env_id).entry_point == "tests.envs.miniature:MeasuredEnv"
    assert (registration.conditions("CartPole-v1").cost, missing("CartPole-v1"), missing("no/Such-v0")) == ("cheap", "", "")


def test_the_partner_of_an_id_runs_as_long_as_it_is_needed(register):
    env_id = register("Partner", arguments=("max_turns",), for_tests=f"{HERE}:counts_to")
    with for_tests(env_id) as arguments:
        assert (arguments, running) == ({"max_turns": 7}, [True])
        assert gymnasium.make(env_id, **arguments).unwrapped.max_turns == 7
    assert running == []
    with for_tests("palaestra/TextCraft-v0") as arguments:
        assert arguments == {}
    forgetful = register("Forgetful", arguments=("max_turns", "split"), for_tests=f"{HERE}:forgets")
    with pytest.raises(ConfigError, match=r"forgets yields no max_turns, split, which conditions/Forgetful-v0 needs"):
        for_tests(forgetful).__enter__()


@pytest.mark.parametrize(
    ("condition", "kind", "match"),
    [
        ({"needs": "java"}, ConfigError, r"needs of .* is 'java'; expected a tuple of names"),
        ({"needs": ("",)}, ConfigError, "needs of"),
        ({"arguments": "url"}, ConfigError, "arguments of"),
        ({"arguments": ("url",)}, ConfigError, "name a context manager that gives them in for_tests"),
        ({"cost": "engin"}, UnknownNameError, "Did you mean 'engine'"),
    ],
)
def test_conditions_that_cannot_be_meant_so_are_refused(register, condition, kind, match):
    with pytest.raises(kind, match=match):
        register("Wrong", **condition)
    assert "conditions/Wrong-v0" not in registry


def test_every_extra_of_a_registered_id_is_one_of_this_package():
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {registration.conditions(env_id).extra for env_id in palaestra.list_envs()} <= {"", *extras}


def test_an_unknown_id_is_gymnasiums_own_error():
    with pytest.raises(gymnasium.error.NameNotFound, match="TextCraft"):
        gymnasium.make("palaestra/TextKraft-v0")


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_java_that_only_java_home_names_will_do(register, bare_machine, tmp_path, monkeypatch, is_broken):
    env_id = register("Java", needs=("java",))
    home = tmp_path / "jdk"
    (home / "bin").mkdir(parents=True)
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert "no program java on the PATH or in the folder JAVA_HOME" in missing(env_id)
    program = home / "bin" / "java"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o644 if is_broken else 0o755)
    assert bool(missing(env_id)) == is_broken
    monkeypatch.setenv("JAVA_HOME", "")
    assert missing(env_id)


@pytest.mark.parametrize("env_id", palaestra.list_envs())
def test_a_name_without_its_namespace_or_version_is_told_the_id(env_id):
    name = env_id.removeprefix("palaestra/").rpartition("-v")[0]
    for told in (name, name.lower(), f"palaestra/{name}", f"{name}-v9", f"Palaestra/{name}-v0x", name[:-1]):
        if told in gymnasium.registry:
            continue
        with pytest.raises(UnknownNameError, match=r"Unknown environment .* Did you mean .*palaestra list") as caught:
            find_spec(told)
        assert f"Did you mean {env_id!r}" in str(caught.value)
    with pytest.raises(UnknownNameError, match="palaestra list"):
        find_spec("zzzz")
