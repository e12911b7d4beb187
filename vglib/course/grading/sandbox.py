"""A process that can harm nobody: started behind the wall, watched from outside, ended with all below it."""

from __future__ import annotations

import os
import subprocess
import sys

from vglib.course.grading.limits import Limits
from vglib.course.grading.processes import Processes, processes
from vglib.course.grading.syscalls import FilterError, program
from vglib.course.grading.wall import SETTINGS, WRITABLE, SandboxError, exposed, search_path, wall

__all__ = ["SETTINGS", "WRITABLE", "Sandbox", "SandboxError", "exposed", "processes"]


class Sandbox:
    """One sandboxed Python process with a socket to it.

    Parameters
    ----------
    code
        What the process runs: Python, which gets the socket's number as ``FD``.
    limits
        What it may use.
    descriptor
        The process's end of a socket pair; closed here, whatever happens.
    unsafe
        Run it without any wall, with this process's rights.

    Raises
    ------
    SandboxError
        bubblewrap or the filter of system calls is missing, or this machine has no room for a process.
    """

    def __init__(self, code: str, limits: Limits, descriptor: int, *, unsafe: bool = False) -> None:
        code = f"import sys; sys.path[:] = {search_path()!r}; FD = {descriptor}\n{code}"
        python = [sys.executable, "-I", "-B", "-c", code]
        self.processes = Processes(walled=not unsafe)
        # What goes wrong before the wall stands is read from here; the process itself lets go of it. A pipe
        # holds little, so that nobody fills a disk with it.
        self._errors, written = os.pipe()
        rules = os.memfd_create("rules")
        try:
            if unsafe:
                command, handed, settings = python, [descriptor], {**os.environ, **SETTINGS}
                settings["HOME"] = os.environ.get("HOME", "/tmp")  # noqa: S108 - not ours: the user's
            else:
                os.write(rules, program())
                os.lseek(rules, 0, os.SEEK_SET)
                command = wall(limits, rules) + python
                handed, settings = [descriptor, rules], {}
            self.process = subprocess.Popen(
                command,
                pass_fds=handed,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=written,
                env=settings,
                cwd="/",
            )
        except FilterError as error:
            os.close(self._errors)
            raise SandboxError(str(error)) from None
        except BaseException:
            os.close(self._errors)
            raise
        finally:
            for one in (descriptor, rules, written):
                os.close(one)

    def stands(self) -> None:
        """Get hold of what is inside, which has answered: from now on `kill` ends all of it at once."""
        self.processes.find(self.process.pid)

    def memory(self) -> int:
        """Return the bytes of memory of all its processes together."""
        return self.processes.memory(self.process.pid)

    def kill(self) -> None:
        """End all of its processes."""
        # A number may be somebody else's once its process has been waited for.
        self.processes.kill(self.process.pid if self.process.poll() is None else None)

    def status(self, patience: float) -> int:
        """Return how it ended; after so many seconds end it."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.wait()

    def end(self) -> str:
        """End all of its processes, wait for them, and return what was said before the wall stood."""
        self.kill()
        self.process.wait()
        self.processes.close()
        if self._errors < 0:
            return ""
        os.set_blocking(self._errors, False)
        try:
            said = os.read(self._errors, 2**16)
        except BlockingIOError:
            said = b""
        os.close(self._errors)
        self._errors = -1
        return said[-4000:].decode(errors="replace").strip()
