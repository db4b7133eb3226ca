import atexit
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import palaestra
from palaestra.cli.init import names_of, write_package
from palaestra.envs.registration import conditions, for_tests, missing, register_environments
from tests.packages import MADE, write_metadata

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; more threads only make them wait for each other

settings.register_profile("palaestra", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("palaestra")


def install_plugin(package: Path) -> None:
    """Install the package of toys as `pip install --editable` would, into a folder of this process, without a network.

    Everything it brings (environments, an algorithm, ...) is then in the registries, and every test over them holds for it.
    """
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    site = tempfile.mkdtemp(prefix="palaestra-plugin-")
    atexit.register(shutil.rmtree, site, ignore_errors=True)
    write_metadata(Path(site), project)
    sys.path += [site, str(package)]


def install_made() -> None:
    """Install a package of each kind as `palaestra init` writes it: every test over the registries holds for them."""
    folder = Path(tempfile.mkdtemp(prefix="palaestra-made-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for kind, name in MADE.items():
        write_package(kind, names_of(name, kind), folder / name)
        install_plugin(folder / name)


install_plugin(Path(__file__).parent / "plugin")
install_made()
register_environments()  # `import palaestra` was before


@pytest.fixture(scope="session", params=palaestra.list_envs())
def env_id(request: pytest.FixtureRequest) -> str:
    if lack := missing(request.param, conditions(request.param).arguments):
        pytest.skip(lack)
    return str(request.param)


@pytest.fixture
def env_words(env_id: str) -> Iterator[list[str]]:
    """An id for the command line, with `--set` for the arguments that it needs; their partner runs meanwhile."""
    with for_tests(env_id) as arguments:
        yield [env_id, *(word for name, value in arguments.items() for word in ("--set", f"{name}={value}"))]


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests():
    """Forget the secrets that a test lets the process remember: one of them may be a word that the next test reads."""
    from palaestra.agents import masking

    before = masking._finder
    yield
    masking._finder = before
