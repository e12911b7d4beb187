"""System calls that nobody needs to compute a gradient: a filter for the sandbox, made with libseccomp."""

from __future__ import annotations

import errno
import functools
import tempfile

__all__ = ["FilterError", "program"]

# Other processes, namespaces and mounts, kernel interfaces with a history of holes, and memory that counts
# for no process.
FORBIDDEN = """
ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp
mount umount2 pivot_root chroot move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr
unshare setns bpf keyctl add_key request_key io_uring_setup io_uring_enter io_uring_register
perf_event_open userfaultfd fanotify_init open_by_handle_at name_to_handle_at
memfd_create memfd_secret shmget msgget semget mq_open vmsplice
init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff acct quotactl
syslog settimeofday clock_settime adjtimex clock_adjtime iopl ioperm personality
""".split()  # noqa: SIM905 - a list of words
CLONE_NEWUSER, AF_UNIX = 0x10000000, 1


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
    refuse = pyseccomp.ERRNO(errno.EPERM)
    # Calls of another architecture, which would go past the names below, end the process.
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in FORBIDDEN:
        number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name)
        if number >= 0:  # else it is unknown on this architecture
            rules.add_rule(refuse, number)
    # Its flags are behind a pointer, where no filter sees them; without it clone is used, whose flags are seen.
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    namespace = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER)
    rules.add_rule(refuse, "clone", namespace)
    # No network: the namespace has none, and what is not bound to it, such as vsock, is no socket here.
    rules.add_rule(refuse, "socket", pyseccomp.Arg(0, pyseccomp.NE, AF_UNIX))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
