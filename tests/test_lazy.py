import contextlib
import signal
import sys

import pytest

from palaestra.errors import UsageError
from palaestra.lazy import import_users

BROKEN = {
    "raises": ("x = 1\nraise RuntimeError('boom')\n", r"RuntimeError: boom \(raises\.py, line 2\)"),
    "silent": ("raise ValueError\n", r"ValueError \(silent\.py, line 1\)"),
    "leaves": ("import sys\n\nsys.exit(3)\n", r"SystemExit: 3 \(leaves\.py, line 3\)"),
    "unreadable": ("def (\n", r"SyntaxError: .* \(unreadable\.py, line 1\)"),
    "indented": ("x = 1\n  y = 2\n", r"IndentationError: .* \(indented\.py, line 2\)"),
    "interrupts": ("raise KeyboardInterrupt\n", r"KeyboardInterrupt \(interrupts\.py, line 1\)"),
    "lacks": ("\nimport no_such_dependency\n", r"No module named 'no_such_dependency' \(lacks\.py, line 2\)"),
    "lacks_a_name": ("from json import no_such_name\n", r"cannot import name 'no_such_name' .*\(lacks_a_name\.py, line 1\)"),
    "calls_others": ("import json\njson.loads('{')\n", r"JSONDecodeError: .* \(calls_others\.py, line 2\)"),
    "imports_broken": ("import raises\n", r"RuntimeError: boom \(raises\.py, line 2\)"),
}


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Let the broken modules be found, and forget them afterwards."""
    for name, (source, _) in BROKEN.items():
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in BROKEN:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("module", BROKEN)
def test_a_module_that_fails_is_named_with_its_error_and_line(modules, module):
    del modules
    with pytest.raises(UsageError, match=f"^The thing names the module '{module}', and importing it .*{BROKEN[module][1]}"):
        import_users(module, "The thing")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("no_such_module", "'no_such_module', which is not installed"),
        ("no_such_package.module", "'no_such_package', which is not installed"),
        ("json.no_such_module", "'json.no_such_module', which is not installed"),
        ("../x", "expected the dotted name of a module"),
        (".", "expected the dotted name"),
        ("os.", "expected the dotted name"),
        ("", "expected the dotted name"),
        ("a b", "expected the dotted name"),
    ],
)
def test_a_module_that_is_not_there_is_told(module, message):
    with pytest.raises(UsageError, match=message):
        import_users(module, "The thing")


def test_an_interruption_from_outside_is_none_of_the_module(modules):
    (modules / "is_stopped.py").write_text("import signal\n\nsignal.raise_signal(signal.SIGINT)\n", encoding="utf-8")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            import_users("is_stopped", "The thing")
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_module_that_works_is_returned(modules):
    (modules / "works.py").write_text("value = 7\n", encoding="utf-8")
    with contextlib.ExitStack() as stack:
        stack.callback(sys.modules.pop, "works", None)
        assert import_users("works", "The thing").value == 7
