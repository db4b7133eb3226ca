"""Each layer holds alone: bubblewrap without the children's filter, and the children's filter without bubblewrap."""

import os
import struct

import pytest

from palaestra.envs.sandbox import Sandbox, keeper, seccomp
from tests.envs.sandbox.hostile_list import listener

OS = (
    "def f(port):\n"
    "    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == '_wrap_close'][0].__init__.__globals__\n"
)
ALLOW_ALL = struct.pack("=HBBI", 0x06, 0, 0, seccomp.ALLOW)


@pytest.fixture
def without_inner_filter(need_process, monkeypatch):
    """A sandbox whose children may make every system call that bubblewrap leaves them."""
    monkeypatch.setattr(keeper, "inner_program", lambda: ALLOW_ALL)
    with Sandbox("process", timeout_s=30) as sandbox:
        yield sandbox


def asked(sandbox, body, port=0):
    """Run lines that may use the functions of `os` as `g`."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return sandbox.load(OS + lines).call("f", {"port": port})


def test_bubblewrap_alone_shows_no_file_of_the_host(without_inner_filter):
    assert set(asked(without_inner_filter, "return g['listdir']('/')").value()) <= {
        "usr",
        "lib",
        "lib64",
        "bin",
        "root",
        "site",
    }
    for path in ("/etc/passwd", "/proc/self/environ", "/home", "/tmp", "/dev/null", os.path.abspath(__file__)):
        assert asked(without_inner_filter, f"return g['stat']({path!r}).st_size").content == "FileNotFoundError", path


def test_bubblewrap_alone_lets_nothing_be_written(without_inner_filter):
    assert asked(without_inner_filter, "g['mkdir']('/usr/here')").status in ("error", "blocked")
    assert asked(without_inner_filter, "return g['open']('/usr/here', 0o101)").status in ("error", "blocked")


def test_bubblewrap_alone_has_a_network_of_its_own(without_inner_filter):
    connect = "s = g['sys'].modules['_socket'].socket(2, 1)\ns.connect(('127.0.0.1', port))"
    with listener() as listening:
        result = asked(without_inner_filter, connect, listening.port)
        assert result.status in ("error", "blocked")
        assert listening.heard() == 0


def test_bubblewrap_alone_makes_nobody_of_everybody(without_inner_filter):
    assert asked(without_inner_filter, "return [g['getuid'](), g['geteuid'](), g['getgid']()]").value() == [
        65534,
        65534,
        65534,
    ]
    assert asked(without_inner_filter, "return sorted(g['environ'])").value() == [
        "LC_CTYPE",
        "PWD",
        "PYTHONHASHSEED",
        "PYTHONUTF8",
        "TZ",
    ]
    assert asked(without_inner_filter, "return [g['getppid'](), g['uname']().nodename]").value() == [1, "sandbox"]
    assert asked(without_inner_filter, f"g['kill']({os.getpid()}, 0)").status == "error"  # there is no such process
    assert asked(without_inner_filter, "g['setuid'](0)").status in ("error", "blocked")


@pytest.mark.parametrize(
    "call", ["ptrace(0, 0, 0, 0)", "unshare(0x10000000)", "mount(0, 0, 0, 0, 0)", "syscall({bpf}, 0, 0, 0)"]
)
def test_bubblewraps_own_filter_refuses_what_no_interpreter_needs(call, without_inner_filter):
    call = call.format(bpf=seccomp.OUTER_DENIED[os.uname().machine]["bpf"])
    body = (
        "C = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == 'CDLL'][0]\nlib = C(None, use_errno=True)\n"
    )
    result = asked(without_inner_filter, body + f"lib.{call}\nreturn g['sys'].modules['ctypes'].get_errno()")
    if result.content == "KeyError":  # the module's name is gone; the C part keeps its own
        result = asked(without_inner_filter, body + f"lib.{call}\nreturn g['sys'].modules['_ctypes'].get_errno()")
    assert result.content == "1", result


def test_limits_hold_without_any_filter(without_inner_filter):
    assert asked(without_inner_filter, "return len('x' * 10**10)").content == "The memory limit was reached."
    resource = "r = g['sys'].modules['resource']\n"
    limits = "return [r.getrlimit(n) for n in (r.RLIMIT_CORE, r.RLIMIT_FSIZE, r.RLIMIT_NPROC, r.RLIMIT_NOFILE)]"
    assert asked(without_inner_filter, resource + limits).value() == [[0, 0], [0, 0], [0, 0], [4, 4]]


def test_the_filter_alone_lets_nothing_be_opened_or_started(monkeypatch, tmp_path, need_process):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.warns(RuntimeWarning, match="outside of namespaces"):
        sandbox = Sandbox("process-unconfined", timeout_s=30)
    with sandbox, listener() as listening:
        for body in (
            "return g['open']('/etc/passwd', 0)",
            f"return g['open']({str(tmp_path / 'marker')!r}, 0o101)",
            "return g['fork']()",
            "g['execv']('/bin/true', ['true'])",
            "g['kill'](g['getpid'](), 9)",
            "return g['sys'].modules['_socket'].socket(2, 1)",
        ):
            assert asked(sandbox, body, listening.port).status == "blocked", body
        assert listening.heard() == 0
    assert list(tmp_path.iterdir()) == []
