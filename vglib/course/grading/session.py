"""A learner's notebook at work in a sandbox: cells go in, calls of its functions come out."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from vglib.course.grading.limits import Limits
from vglib.course.grading.sandbox import WRITABLE, Sandbox, SandboxError
from vglib.course.guest import FLOOD, FRAME
from vglib.course.wire import WireError, pack, unpack

__all__ = ["MAX_SHOWN", "Session", "Stopped", "shown"]

_CODE = "from vglib.course.guest import main; main(FD, {limits!r}, {folders!r})"
_WATCH = 0.05  # seconds between two looks
_PATIENCE = 1.0  # seconds for a process that has closed its socket to end by itself
MAX_SHOWN = 24_000  # characters of what a cell printed
# What would move a terminal's cursor, end a database's text, or turn the direction of a line.
_CONTROL = dict.fromkeys(
    [*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd"
)
_CONTROL |= {ord("\n"): "\n", ord("\t"): "\t", ord("\r"): "\n"}


def shown(text: str, most: int = MAX_SHOWN) -> str:
    """Return a stranger's text as it can be shown and kept anywhere."""
    return text[:most].replace("\r\n", "\n").translate(_CONTROL).encode(errors="replace").decode()


class Stopped(Exception):  # noqa: N818 - the submission was stopped, the grader is well
    """The sandbox is gone; the text says why.

    Attributes
    ----------
    kind : str
        ``"time"``, ``"total"``, ``"memory"``, ``"output"``, ``"died"`` or ``"protocol"``.
    """

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind, str(self))


class Session:
    """A sandbox with a learner's names in it. Close it, or use it in a `with` statement.

    Parameters
    ----------
    limits
        What may be used.
    until
        When all must be over, on the clock of `time.monotonic`.
    unsafe
        Without a sandbox.

    Raises
    ------
    SandboxError
        The sandbox does not start: a matter of this machine, not of the submission.
    Stopped
        The time was over before it had started.
    """

    def __init__(self, limits: Limits, until: float = float("inf"), *, unsafe: bool = False) -> None:
        self.limits, self._until = limits, until
        self._why: Stopped | None = None
        self._deadline = float("inf")
        self._closed = threading.Event()
        folders = () if unsafe else WRITABLE
        code = _CODE.format(limits={} if unsafe else limits.hard(), folders=folders)
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise SandboxError(f"no sandbox can be made: {error}") from None
        self._connection = Connection(ours.detach())
        try:
            self._sandbox = Sandbox(code, limits, theirs.detach(), unsafe=unsafe)
        except OSError as error:
            self._connection.close()
            raise SandboxError(f"no sandbox can be made: {error}") from None
        except BaseException:
            self._connection.close()
            raise
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        try:
            with self._within(limits.start, "start", ends=False):
                self._take_over(len(folders))
        except Stopped as stopped:
            said = self.close()
            if stopped.kind == "total":
                raise
            raise SandboxError(f"the sandbox did not start: {said or stopped}") from None
        except BaseException:
            self.close()
            raise

    def _take_over(self, folders: int) -> None:
        """Take what is handed over before anything of a learner's runs: the last that is believed."""
        with socket.socket(fileno=os.dup(self._connection.fileno())) as ours:
            said, self._sandbox.processes.folders, _, _ = socket.recv_fds(ours, 1, folders)
        if not said:
            raise EOFError
        self._receive(0)
        self._sandbox.stands()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *about: object) -> None:
        self.close()

    @property
    def process_id(self) -> int:
        """The outermost process of the sandbox."""
        return self._sandbox.process.pid

    def cell(self, source: str) -> tuple[bool, str]:
        """Run a cell; return whether it ended without an error, and what it printed.

        Raises
        ------
        Stopped
            The sandbox is gone.
        """
        with self._within(self.limits.cell, "a cell"):
            number = self._next()
            self._connection.send_bytes(pack({"op": "cell", "id": number}))
            self._connection.send_bytes(source.encode())
            about = self._receive(number)
            if type(about.get("ok")) is not bool:
                raise WireError("no word on whether the cell went well")
            return about["ok"], shown(about["text"])

    def send(self, request: bytes) -> bytes:
        """Carry a request of `vglib.course.calling.Call` to the learner's functions, and the reply back.

        Raises
        ------
        Stopped
            The sandbox is gone.
        """
        with self._within(self.limits.call, "a call"):
            number = self._next()
            self._connection.send_bytes(pack({"op": "call", "id": number}))
            self._connection.send_bytes(request)
            self._receive(number)
            return self._connection.recv_bytes(FRAME)

    def close(self) -> str:
        """End the sandbox with all that runs in it; return what it said if it did not start."""
        self._closed.set()
        self._watch.join()
        said = self._sandbox.end()
        self._connection.close()
        return said

    @staticmethod
    def _next() -> int:
        # Nobody inside can know it beforehand, so an answer cannot lie ready.
        return int.from_bytes(os.urandom(6), "big") + 1

    def _receive(self, number: int) -> dict[str, Any]:
        about = unpack(self._connection.recv_bytes(2**20))
        if type(about) is not dict or about.get("id") != number:
            raise WireError("an answer to a question that was not asked")
        if number and type(about.get("text")) is not str:
            raise WireError("no word on what was printed")
        return about

    @contextmanager
    def _within(self, seconds: float, what: str, *, ends: bool = True) -> Iterator[None]:
        """Bound the time of an exchange; what goes wrong in it ends the sandbox and is told as `Stopped`."""
        self._limit, self._what = seconds, what
        self._deadline = time.monotonic() + seconds
        try:
            yield
        except (EOFError, OSError, WireError) as error:
            # Whoever has ended has a status of its own; killed too early it would say nothing.
            ended = isinstance(error, EOFError | ConnectionError)
            status = self._sandbox.status(_PATIENCE if ended else 0.0)
            stopped = self._stopped(error, status)
            if ends:
                self.close()
            raise stopped from None
        finally:
            self._deadline = float("inf")

    def _stopped(self, error: Exception, status: int) -> Stopped:
        if self._why is not None:
            return self._why
        if status == FLOOD:
            return Stopped("output", "printed more than any reader would read")
        if isinstance(error, WireError) or "bad message length" in str(error):
            return Stopped("protocol", f"sent the grader something that no exercise sends ({error})")
        return Stopped("died", "its process ended, as by os._exit, a crash, or for want of memory")

    def _look(self) -> None:
        """Watch, and end the sandbox also when nobody could watch it any more."""
        try:
            self._keep_watch()
        except Exception as error:
            self._why = Stopped("died", f"it could not be watched ({type(error).__name__}: {error})")
            self._sandbox.kill()

    def _keep_watch(self) -> None:
        """Look at time and memory, and end the sandbox when there is too much of either."""
        while not self._closed.wait(_WATCH):
            now = time.monotonic()
            if now > self._until:
                self._why = Stopped("total", f"the submission took more than {self.limits.total:g} s in all")
            elif now > self._deadline:
                self._why = Stopped("time", f"{self._what} took more than {self._limit:g} s")
            elif self._sandbox.memory() > self.limits.memory:
                most = self.limits.memory / 2**30
                self._why = Stopped("memory", f"used more than {most:.3g} GiB of memory")
            else:
                continue
            self._sandbox.kill()
            return
