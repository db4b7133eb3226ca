"""A real OpenAI-compatible server for tests: `transformers serve` on loopback with a tiny model made on the spot.

from tests.servers import transformers_server  # noqa: F401  (a session-wide fixture)

def test_it(transformers_server):
    make_backend(transformers_server.model_string)   # "http://127.0.0.1:PORT/v1#tiny"
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

START_S = 120  # importing torch and transformers on a busy machine


@dataclass(frozen=True)
class ModelServer:
    """A running server.

    Attributes:
        base_url: Up to and including /v1.
        model: Its name of the model.
        model_path: Directory the model was saved in.
    """

    base_url: str
    model: str
    model_path: Path

    @property
    def model_string(self) -> str:
        return f"{self.base_url}#{self.model}"


def serve_command() -> list[str] | None:
    """Return how to start the server, or None if it is not installed."""
    script = Path(sys.executable).with_name("transformers")
    found = str(script) if script.exists() else shutil.which("transformers")
    return [found, "serve"] if found else None


def save_tiny_model(folder: Path) -> Path:
    """Save a model of a few hundred thousand weights, untrained, with a chat template that knows tools."""
    from palaestra.models.tiny_lm import build_tiny_lm, save

    corpus = ["Goal: craft a wooden pickaxe.", "get 3 oak log", "craft 4 oak planks using 1 oak log", '{"name": "look"}'] * 8
    model, tokenizer = build_tiny_lm(corpus, hidden_size=32, num_layers=1, num_heads=2, vocab_size=320, max_positions=4096)
    save(model, tokenizer, folder)
    return folder


@contextmanager
def serve(model_path: Path, log_path: Path) -> Iterator[ModelServer]:
    """Run `transformers serve` for the model in `model_path` until the block ends."""
    command = serve_command()
    if command is None:
        pytest.skip("transformers serve is not installed (pip install 'transformers[serving]')")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    # Run beside the model's folder, so that its bare name is a path and the model string stays short.
    arguments = [model_path.name, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    with log_path.open("wb") as log:
        process = subprocess.Popen([*command, *arguments], cwd=model_path.parent, env=environment, stdout=log, stderr=log)
        try:
            _wait_until_healthy(process, f"http://127.0.0.1:{port}/health", log_path)
            yield ModelServer(f"http://127.0.0.1:{port}/v1", model_path.name, model_path)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def transformers_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    folder = tmp_path_factory.mktemp("transformers_server")
    with serve(save_tiny_model(folder / "tiny"), folder / "server.log") as server:
        yield server


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log_path: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"transformers serve ended with {process.returncode}:\n{log_path.read_text()[-3000:]}")
        try:
            with urllib.request.urlopen(url, timeout=2) as response:
                if response.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"transformers serve was not healthy after {START_S} s:\n{log_path.read_text()[-3000:]}")
