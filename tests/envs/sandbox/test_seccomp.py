"""The filters, run by a small interpreter of their own instructions, and compared with libseccomp where it is installed."""

import struct

import pytest

from palaestra.envs.sandbox import seccomp
from palaestra.errors import UsageError

MACHINES = sorted(seccomp.ARCHITECTURES)


def verdict(program: bytes, number: int, machine: str, arguments: tuple[int, ...] = ()) -> int:
    """Return what a filter answers to a call."""
    data = struct.pack("=iIQ6Q", number, seccomp.ARCHITECTURES.get(machine, 7), 0, *(arguments + (0,) * 6)[:6])
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at = register = 0
    while True:
        operation, if_true, if_false, value = code[at]
        at += 1
        if operation == 0x20:
            register = struct.unpack_from("=I", data, value)[0]
        elif operation == 0x06:
            return value
        else:
            true = {0x15: register == value, 0x35: register >= value, 0x45: bool(register & value)}[operation]
            at += if_true if true else if_false


@pytest.mark.parametrize("machine", MACHINES)
def test_the_inner_filter_allows_what_is_listed_and_nothing_else(machine):
    program = seccomp.inner_program(machine)
    allowed = set(seccomp.COMPUTE[machine].values()) | set(seccomp.NO_NEW_CODE[machine].values())
    fatal = set(seccomp.FATAL[machine].values())
    assert not allowed & fatal
    for number in range(600):
        expected = seccomp.ALLOW if number in allowed else seccomp.KILL_PROCESS if number in fatal else seccomp.FAIL
        assert verdict(program, number, machine) == expected, number


@pytest.mark.parametrize("machine", MACHINES)
def test_executable_memory_is_refused(machine):
    program = seccomp.inner_program(machine)
    for number in seccomp.NO_NEW_CODE[machine].values():
        for protection in range(16):
            expected = seccomp.FAIL if protection & 4 else seccomp.ALLOW
            assert verdict(program, number, machine, (0, 4096, protection)) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_the_outer_filter_refuses_what_is_listed(machine):
    program = seccomp.outer_program(machine)
    denied = set(seccomp.OUTER_DENIED[machine].values())
    for number in range(600):
        assert verdict(program, number, machine) == (seccomp.FAIL if number in denied else seccomp.ALLOW)


@pytest.mark.parametrize("make", [seccomp.inner_program, seccomp.outer_program])
@pytest.mark.parametrize("machine", MACHINES)
def test_other_architectures_and_x32_end_the_process(make, machine):
    program = make(machine)
    other = next(name for name in MACHINES if name != machine)
    assert verdict(program, 0, other) == seccomp.KILL_PROCESS
    assert verdict(program, 0, "none") == seccomp.KILL_PROCESS
    if machine == "x86_64":
        assert verdict(program, 0x40000000, machine) == seccomp.KILL_PROCESS
        assert verdict(program, 0x40000000 + 59, machine) == seccomp.KILL_PROCESS
    assert len(program) % 8 == 0
    assert len(program) // 8 < 4096


def test_a_machine_without_a_table_is_refused():
    with pytest.raises(UsageError, match="'riscv64'"):
        seccomp.inner_program("riscv64")


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_agree_with_libseccomp(machine):
    pyseccomp = pytest.importorskip("pyseccomp", exc_type=Exception)
    arch = {"x86_64": pyseccomp.Arch.X86_64, "aarch64": pyseccomp.Arch.AARCH64}[machine]
    for table in (seccomp.COMPUTE, seccomp.NO_NEW_CODE, seccomp.FATAL, seccomp.OUTER_DENIED):
        for name, number in table[machine].items():
            assert pyseccomp.resolve_syscall(arch, name) == number, name
