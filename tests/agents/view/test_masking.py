"""Nothing that a page or a message of the viewer says about damaged runs holds a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from palaestra.agents import evaluate, masking
from palaestra.agents.masking import MASK, remember_secrets
from palaestra.agents.report.transcripts import TranscriptBook
from palaestra.agents.secret_spellings import SecretFinder
from palaestra.agents.store import RunStore
from palaestra.agents.view import folder, listing, pages
from palaestra.agents.view.server import ViewServer
from palaestra.errors import StoreError, UsageError

SECRET = "mk9-Zq7-key"
TEXT = f"no row for {SECRET.upper()} at me:mk9-1pass@db.example"


@pytest.fixture(autouse=True)
def one_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_finder", SecretFinder())
    remember_secrets({"api_key": SECRET})


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    with RunStore(tmp_path) as store:
        store.create_run({}, "a")
        store.set_status("a", "failed", "ended")
    return tmp_path


def raising(error: Exception) -> Any:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def assert_masked(text: str) -> None:
    assert MASK in text
    assert "mk9" not in text.lower()


@pytest.mark.parametrize("error", [StoreError(TEXT), OSError(TEXT)])
def test_a_folder_that_cannot_be_read(runs: Path, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder.RunsFolder, "open", raising(error))
    assert_masked(str(folder.RunsFolder(runs).listing().problem))


@pytest.mark.parametrize("error", [StoreError(TEXT), ValueError(TEXT)])
def test_a_run_that_cannot_be_read(runs: Path, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunStore, "runs", raising(error))
    monkeypatch.setattr(RunStore, "run", raising(error))
    (run,) = folder.RunsFolder(runs).listing().runs
    assert isinstance(run, folder.Damaged)
    assert_masked(run.problem)
    assert_masked(pages.Pages(runs).answer("/", {}).body.decode())


def test_a_row_that_cannot_be_made(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_whole_row", raising(ValueError(TEXT)))
    assert_masked(pages.Pages(runs).answer("/", {}).body.decode())


def test_a_note_is_masked_before_it_is_cut(runs: Path) -> None:
    with RunStore(runs) as store:
        for length in range(60, 400, 3):
            run = store.run("a")
            object.__setattr__(run, "note", "x" * length + f" {SECRET}")
            assert "mk9" not in listing.progress_of(run)["note"]


@pytest.mark.parametrize("error", [UsageError(TEXT), StoreError(TEXT), RuntimeError(TEXT)])
def test_a_page_that_cannot_be_made(
    runs: Path, error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = pages.Pages(runs)
    shown._routes["/run"] = raising(error)
    body = shown.answer("/run", {}).body.decode()
    assert "mk9" not in body.lower()
    said = capsys.readouterr().err
    assert_masked(said if isinstance(error, RuntimeError) else body)


def test_an_episode_that_cannot_be_shown(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TranscriptBook, "fill", raising(StoreError(TEXT)))
    evaluate("palaestra/Desk-v0", lambda observation, info: "look", n=1, max_turns=1, store=runs, run_id="b")
    body = pages.Pages(runs).answer("/episodes", {"run": "b"}).body.decode()
    assert "cannot be shown" in body
    assert_masked(body)


def test_a_request_that_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise RuntimeError(TEXT)
    except RuntimeError:
        ViewServer.handle_error(object(), None, None)  # type: ignore[arg-type]
    assert_masked(capsys.readouterr().err)
