"""Seccomp filters as bytes, built by hand for x86_64 and aarch64.

Two filters lie on top of each other. The *outer* one is installed by bubblewrap and holds for the keeper too: it has to start,
fork and receive descriptors, so everything is allowed but the parts of the kernel that neither it nor its children need. The
*inner* one is installed by every child before it reads foreign code: an allow list of what an interpreter needs that only
computes and answers on one descriptor. Whatever is not on it fails with EPERM, which Python raises as `PermissionError`; what
no library does by accident (a new process, a signal, a socket, a debugger) ends the child with SIGSYS.

Numbers: the kernel's tables `arch/x86/entry/syscalls/syscall_64.tbl` and `include/uapi/asm-generic/unistd.h`; a test compares
them with libseccomp's where that is installed.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Mapping

from palaestra.errors import UsageError

ALLOW, KILL_PROCESS, FAIL = 0x7FFF0000, 0x80000000, 0x00050000 | 1  # the last is SECCOMP_RET_ERRNO with EPERM

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16  # offsets in struct seccomp_data
_X32_BIT = 0x40000000
_PROT_EXEC = 4

ARCHITECTURES: Mapping[str, int] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

COMPUTE: Mapping[str, Mapping[str, int]] = {
    "x86_64": dict(
        read=0, write=1, close=3, fstat=5, lseek=8, munmap=11, brk=12, rt_sigaction=13, rt_sigprocmask=14, rt_sigreturn=15,
        sched_yield=24, mremap=25, madvise=28, nanosleep=35, getpid=39, exit=60, gettimeofday=96, getrusage=98,
        sigaltstack=131, gettid=186, time=201, futex=202, restart_syscall=219, clock_gettime=228, clock_getres=229,
        clock_nanosleep=230, exit_group=231, getrandom=318,
    ),
    "aarch64": dict(
        read=63, write=64, close=57, fstat=80, lseek=62, munmap=215, brk=214, rt_sigaction=134, rt_sigprocmask=135,
        rt_sigreturn=139, sched_yield=124, mremap=216, madvise=233, nanosleep=101, getpid=172, exit=93, gettimeofday=169,
        getrusage=165, sigaltstack=132, gettid=178, futex=98, restart_syscall=128, clock_gettime=113, clock_getres=114,
        clock_nanosleep=115, exit_group=94, getrandom=278,
    ),
}  # fmt: skip
"""Allowed in a child: memory, its own descriptor, clocks, locks, its own signal handlers, leaving."""

NO_NEW_CODE: Mapping[str, Mapping[str, int]] = {
    "x86_64": dict(mmap=9, mprotect=10),
    "aarch64": dict(mmap=222, mprotect=226),
}
"""Allowed in a child unless the memory is to be executable: all code is loaded before the filter."""

FATAL: Mapping[str, Mapping[str, int]] = {
    "x86_64": dict(
        socket=41, socketpair=53, clone=56, fork=57, vfork=58, execve=59, kill=62, ptrace=101, prctl=157, mount=165,
        unshare=272, process_vm_readv=310, process_vm_writev=311, seccomp=317, bpf=321, execveat=322, pidfd_send_signal=424,
        io_uring_setup=425, pidfd_open=434, clone3=435,
    ),
    "aarch64": dict(
        socket=198, socketpair=199, clone=220, execve=221, kill=129, ptrace=117, prctl=167, mount=40, unshare=97,
        process_vm_readv=270, process_vm_writev=271, seccomp=277, bpf=280, execveat=281, pidfd_send_signal=424,
        io_uring_setup=425, pidfd_open=434, clone3=435,
    ),
}  # fmt: skip
"""Ends the child: nothing that merely looks around makes these calls.

`tgkill` fails instead: `abort()` of an interpreter at its end makes it, and that is a crash, not an attempt.
"""

OUTER_DENIED: Mapping[str, Mapping[str, int]] = {
    "x86_64": dict(
        ptrace=101, pivot_root=155, chroot=161, mount=165, umount2=166, swapon=167, reboot=169, init_module=175,
        delete_module=176, quotactl=179, kexec_load=246, add_key=248, request_key=249, keyctl=250, unshare=272,
        perf_event_open=298, setns=308, process_vm_readv=310, process_vm_writev=311, finit_module=313, kexec_file_load=320,
        bpf=321, userfaultfd=323, io_uring_setup=425, io_uring_enter=426, io_uring_register=427, open_tree=428,
        move_mount=429, fsopen=430, fsconfig=431, fsmount=432, pidfd_getfd=438, mount_setattr=442,
    ),
    "aarch64": dict(
        ptrace=117, pivot_root=41, chroot=51, mount=40, umount2=39, swapon=224, reboot=142, init_module=105,
        delete_module=106, quotactl=60, kexec_load=104, add_key=217, request_key=218, keyctl=219, unshare=97,
        perf_event_open=241, setns=268, process_vm_readv=270, process_vm_writev=271, finit_module=273, kexec_file_load=294,
        bpf=280, userfaultfd=282, io_uring_setup=425, io_uring_enter=426, io_uring_register=427, open_tree=428,
        move_mount=429, fsopen=430, fsconfig=431, fsmount=432, pidfd_getfd=438, mount_setattr=442,
    ),
}  # fmt: skip
"""Fails in the keeper too."""


def inner_program(machine: str = "") -> bytes:
    """Return the filter of a child, as an array of `struct sock_filter`.

    Args:
        machine: "x86_64" or "aarch64"; by default what this machine is.

    Raises:
        UsageError: If there is no table for the machine.
    """
    machine = _known(machine)
    body = b"".join(_one(number, ALLOW) for number in COMPUTE[machine].values())
    body += b"".join(_unless_executable(number) for number in NO_NEW_CODE[machine].values())
    body += b"".join(_one(number, KILL_PROCESS) for number in FATAL[machine].values())
    return _head(machine) + body + _operation(_RETURN, FAIL)


def outer_program(machine: str = "") -> bytes:
    """Return the filter of the keeper; arguments and errors as for `inner_program`."""
    machine = _known(machine)
    body = b"".join(_one(number, FAIL) for number in OUTER_DENIED[machine].values())
    return _head(machine) + body + _operation(_RETURN, ALLOW)


def _known(machine: str) -> str:
    """Return the architecture, if its numbers are known."""
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        raise UsageError(
            f"The sandbox has no table of system calls for {machine!r}; expected one of {', '.join(ARCHITECTURES)}. "
            "Use executor='monty' on this machine."
        )
    return machine


def _operation(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Return one instruction: `struct sock_filter`."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _head(machine: str) -> bytes:
    """End processes of another architecture and calls by the numbers of x32; then load the number of the call."""
    head = _operation(_LOAD, _ARCH_AT) + _operation(_JUMP_EQUAL, ARCHITECTURES[machine], 1, 0)
    head += _operation(_RETURN, KILL_PROCESS) + _operation(_LOAD, _NUMBER_AT)
    if machine == "x86_64":
        head += _operation(_JUMP_AT_LEAST, _X32_BIT, 0, 1) + _operation(_RETURN, KILL_PROCESS)
    return head


def _one(number: int, action: int) -> bytes:
    """Answer one call."""
    return _operation(_JUMP_EQUAL, number, 0, 1) + _operation(_RETURN, action)


def _unless_executable(number: int) -> bytes:
    """Allow a call whose third argument, the protection, lacks PROT_EXEC; its low word holds all bits that there are."""
    return (
        _operation(_JUMP_EQUAL, number, 0, 4)
        + _operation(_LOAD, _ARGUMENTS_AT + 2 * 8)
        + _operation(_JUMP_ANY_BIT, _PROT_EXEC, 0, 1)
        + _operation(_RETURN, FAIL)
        + _operation(_RETURN, ALLOW)
    )
