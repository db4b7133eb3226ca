import subprocess
import sys

import gymnasium
import pytest
from gymnasium.envs.registration import registry

import palaestra
from palaestra.envs.registration import load_plugins, register_environments


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


def test_an_unknown_id_is_gymnasiums_own_error():
    with pytest.raises(gymnasium.error.NameNotFound, match="TextCraft"):
        gymnasium.make("palaestra/TextKraft-v0")
