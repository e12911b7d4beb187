"""The processes of a sandbox, seen from outside: how much memory they hold, and how to end all of them.

What is read here is in part written by strangers: a process chooses its own name, its number may be given to
somebody else as soon as it has ended, and it may end its first thread and go on in another.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from pathlib import Path

__all__ = ["Processes", "processes"]

# Page tables as well, and what has been swapped out. Shared memory is memory of a file, which is counted with
# the file systems: a process may let go of its pages and they stay.
_COUNTED = (b"RssAnon:", b"VmSwap:", b"VmPTE:", b"HugetlbPages:")
# What the kernel holds beside, at most: for a process the list of its mappings and its pipes, for a socket
# what waits to be read, also when nobody has accepted it yet.
_PROCESS, _SOCKET, _INODE = 2**24, 2**18, 2**10


class Processes:
    """The processes behind a wall.

    Parameters
    ----------
    walled
        Whether they are in a namespace of their own, which ends with its first process.
    """

    def __init__(self, *, walled: bool = True) -> None:
        self._walled, self._first, self._handle = walled, 0, -1
        self.folders: list[int] = []

    def find(self, pid: int) -> None:
        """Get hold of the first process behind the wall, and of the one whose end is the end of all."""
        if not self._walled:
            return
        # Root has a namespace around the one of the wall. Each process on the way has started one.
        depth, line = len(_numbers(os.getpid())), [pid]
        while len(below := _children(line[-1])) == 1:
            line += below
        first = [one for one in line if (names := _numbers(one))[-1] == 1 and len(names) > depth]
        if not first:
            raise OSError("the processes of the sandbox cannot be told from others")
        self._first, self._handle = first[-1], os.pidfd_open(first[0])
        _sockets(self._first)  # it raises where they cannot be counted

    def memory(self, pid: int) -> int:
        """Return the bytes of memory of a process and all below it, and of the files that they wrote."""
        found = sum(_memory(one, self._walled) for one in processes(self._first or pid))
        if self._first:
            with suppress(OSError):  # it has just ended
                found += _sockets(self._first) * _SOCKET
        for folder in self.folders:
            about = os.fstatvfs(folder)
            found += (about.f_blocks - about.f_bfree) * about.f_frsize
            found += (about.f_files - about.f_ffree) * _INODE
        return found

    def kill(self, pid: int | None) -> None:
        """End all of them: by the first one, whose end is the end of all others, if it is known."""
        if self._handle >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        elif pid is not None:
            for one in processes(pid):
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)

    def close(self, patience: float = 10.0) -> None:
        """Wait for the end of all, and let go of them."""
        if self._handle >= 0:
            select.select([self._handle], [], [], patience)
            os.close(self._handle)
        for folder in self.folders:
            os.close(folder)
        self._handle, self.folders = -1, []


def processes(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += _children(one)
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in _threads(pid):
        try:
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split())
        except OSError:
            continue
    return found


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _status(pid: int, thread: str) -> dict[bytes, int]:
    """Return the numbers of a thread's status by their names."""
    try:
        text = Path(f"/proc/{pid}/task/{thread}/status").read_bytes()
    except OSError:
        return {}
    found = {}
    # As bytes, and lines end with a line feed alone: the first is a name that the process has chosen.
    for line in text.split(b"\n")[1:]:
        words = line.split()
        if len(words) > 1 and words[1].isdigit():
            found[words[0]] = int(words[1])
    return found


def _memory(pid: int, walled: bool) -> int:
    """Return the bytes that are a process's own: not the libraries that it shares with files."""
    for thread in _threads(pid):
        about = _status(pid, thread)
        # A first thread that has ended shows nothing of what the others hold.
        if b"RssAnon:" in about:
            held = sum(about.get(name, 0) for name in _COUNTED) * 1024
            return held + _PROCESS if walled else held
    return 0


def _sockets(pid: int) -> int:
    """Return how many sockets there are in a process's namespace."""
    return Path(f"/proc/{pid}/net/unix").read_bytes().count(b"\n") - 1


def _numbers(pid: int) -> list[int]:
    """Return the numbers of a process in the namespaces of processes that it is in, from here inwards."""
    for line in Path(f"/proc/{pid}/status").read_bytes().split(b"\n"):
        if line.startswith(b"NSpid:"):
            return [int(word) for word in line.split()[1:]]
    raise OSError("this kernel does not tell namespaces of processes apart")
