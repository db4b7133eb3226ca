import inspect
import pickle

import pytest

from palaestra import errors
from palaestra.errors import (
    BoundaryError,
    BudgetError,
    EnvironmentFault,
    MissingDataError,
    MissingExtraError,
    ModelError,
    PalaestraError,
    ScoringError,
    SeatFault,
    ToolError,
    UnknownNameError,
    UsageError,
    unknown_name,
)

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, PalaestraError)]


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = [line for line in errors.__doc__.splitlines() if "──" in line]
    assert {line.split("── ")[1].split()[0] for line in drawn} == {c.__name__ for c in CLASSES} - {"PalaestraError"}


@pytest.mark.parametrize(
    ("ours", "builtin"),
    [
        (UsageError, ValueError),
        (UnknownNameError, KeyError),
        (MissingExtraError, ImportError),
        (MissingDataError, FileNotFoundError),
    ],
)
def test_errors_can_be_caught_by_their_builtin_kind(ours, builtin):
    assert issubclass(ours, builtin)
    assert issubclass(ours, UsageError)


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        (BoundaryError, "environment"),
        (ModelError, "model"),
        (BudgetError, "model"),
        (ToolError, "tool"),
        (EnvironmentFault, "environment"),
        (ScoringError, "scoring"),
    ],
)
def test_boundary_errors_name_their_boundary(kind, boundary):
    assert kind("x").boundary == boundary
    assert not issubclass(kind, UsageError)


def test_messages_are_not_quoted():
    assert str(UnknownNameError("no such thing")) == "no such thing"
    assert str(PalaestraError()) == ""


def test_an_unknown_name_comes_with_the_nearest_one():
    error = unknown_name("environment", "Vehicel", ["VehicleWorld", "TextCraft"], hint="List all with list_envs().")
    assert str(error) == "Unknown environment 'Vehicel'. Did you mean 'VehicleWorld'? List all with list_envs()."


def test_an_unknown_name_comes_with_those_that_exist():
    assert str(unknown_name("split", "zzz", ["test", "train"])) == "Unknown split 'zzz'. Known: test, train."
    assert str(unknown_name("split", 3, [])) == "Unknown split 3. There are none."
    assert "... (20 in all)" in str(unknown_name("task", "zzz", [f"name {i}" for i in range(20)]))


def test_a_missing_extra_says_how_to_install_it():
    error = MissingExtraError("Training", "train")
    assert str(error) == "Training needs the extra 'train'. Install it with: pip install 'palaestra[train]'"


def test_model_errors_keep_what_a_retry_needs():
    error = ModelError("busy", status=429, retryable=True, retry_after_s=2.5)
    assert (error.status, error.retryable, error.retry_after_s) == (429, True, 2.5)


def test_a_seats_failure_is_of_its_boundary_here_and_elsewhere():
    for boundary in ("user", "judge"):
        fault = SeatFault(boundary, "said nothing")
        again = pickle.loads(pickle.dumps(fault))
        assert (again.boundary, str(again), type(again)) == (boundary, "said nothing", SeatFault)
    assert SeatFault("judge", "x").boundary == "judge" != BoundaryError("x").boundary


@pytest.mark.parametrize("kind", [c for c in CLASSES if c not in (MissingExtraError, SeatFault)])
def test_errors_travel_between_processes(kind):
    error = pickle.loads(pickle.dumps(kind("what happened")))
    assert (type(error), str(error)) == (kind, "what happened")
