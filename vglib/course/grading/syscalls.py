"""System calls that nobody needs to compute a gradient: a filter for the sandbox, made with libseccomp."""

from __future__ import annotations

import errno
import functools
import os

__all__ = ["FilterError", "program"]

# Other processes, namespaces and mounts, kernel interfaces with a history of holes, and memory that counts
# for no process.
FORBIDDEN = """
ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp
mount umount2 pivot_root chroot move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick
mount_setattr
unshare setns bpf keyctl add_key request_key io_uring_setup io_uring_enter io_uring_register
perf_event_open userfaultfd fanotify_init inotify_init inotify_init1 open_by_handle_at name_to_handle_at
memfd_create memfd_secret shmget msgget semget mq_open vmsplice
init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff acct quotactl
quotactl_fd syslog settimeofday clock_settime adjtimex clock_adjtime iopl ioperm personality
""".split()  # noqa: SIM905 - a list of words
AF_UNIX, SOCK_STREAM, SOCK_TYPES, SOL_SOCKET, SO_SNDBUF, SO_RCVBUF = 1, 1, 15, 1, 7, 8
MAP_SHARED, MAP_ANONYMOUS = 0x01, 0x20
CLONE_FILES, CLONE_THREAD, CLONE_NEWUSER, CLOSE_RANGE_UNSHARE = 0x400, 0x10000, 0x10000000, 2
LOCKS = {"F_SETLK": 6, "F_SETLKW": 7, "F_OFD_SETLK": 37, "F_OFD_SETLKW": 38}


class FilterError(Exception):
    """There is no filter on this machine; the message says what is missing."""


@functools.cache
def program() -> bytes:
    """Return the filter as the kernel's bytes.

    Raises
    ------
    FilterError
        The library is missing.
    """
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError) as error:
        raise FilterError(
            f"the filter of system calls needs pyseccomp and libseccomp ({error}): "
            'pip install "vglib[grading]"; apt-get install libseccomp2'
        ) from None
    refuse, argument = pyseccomp.ERRNO(errno.EPERM), pyseccomp.Arg

    def bits(number: int, mask: int, value: int) -> object:
        return argument(number, pyseccomp.MASKED_EQ, mask, value)

    # Calls of another architecture, which would go past the names below, end the process.
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in FORBIDDEN:
        number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name)
        if number >= 0:  # else it is unknown on this architecture
            rules.add_rule(refuse, number)
    # Its flags are behind a pointer, where no filter sees them; without it clone is used, whose are seen.
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    rules.add_rule(refuse, "clone", bits(0, CLONE_NEWUSER, CLONE_NEWUSER))
    # A thread with files of its own holds what its process does not show.
    rules.add_rule(refuse, "clone", bits(0, CLONE_THREAD | CLONE_FILES, CLONE_THREAD))
    rules.add_rule(refuse, "close_range", bits(2, CLOSE_RANGE_UNSHARE, CLOSE_RANGE_UNSHARE))
    # Shared memory without a file can be filled and let go of, and stays: a process then shows none of it.
    shared = MAP_SHARED | MAP_ANONYMOUS
    rules.add_rule(refuse, "mmap", bits(3, shared, shared))
    # No network: the namespace has none, and what is not bound to it, such as vsock, is no socket here.
    # Streams alone: what they hold is bounded by their number, if nobody makes them larger.
    for name in ("socket", "socketpair"):
        rules.add_rule(refuse, name, argument(0, pyseccomp.NE, AF_UNIX))
        for kind in range(SOCK_TYPES + 1):
            if kind != SOCK_STREAM:
                rules.add_rule(refuse, name, bits(1, SOCK_TYPES, kind))
    for option in (SO_SNDBUF, SO_RCVBUF):
        rules.add_rule(refuse, "setsockopt", bits(1, 2**32 - 1, SOL_SOCKET), bits(2, 2**32 - 1, option))
    # Locks of single bytes: any number of them, in the kernel's memory.
    for command in LOCKS.values():
        rules.add_rule(refuse, "fcntl", bits(1, 2**32 - 1, command))
    with os.fdopen(os.memfd_create("filter"), "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
