"""The process in the sandbox that runs a learner's cells: started by `vglib.course.grading.session`.

It reads requests from an inherited socket and answers them, both in the form of `vglib.course.wire`::

    {"op": "cell", "id": n}, then a source      runs a cell:       {"id": n, "ok": bool, "text": text}
    {"op": "call", "id": n}, then a request     calls a function:  the same, then a reply

Before anything of a learner's runs, it hands over its two writable folders, so that the grader can see how
full they are without asking anybody.

Whatever a learner's code does to this process, it harms nobody else: the grader believes nothing that comes
from here, and everything of worth is on the other side of the wall.
"""

from __future__ import annotations

import io
import os
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

from vglib.course.calling import answer
from vglib.course.wire import MAX_BYTES, pack, unpack

__all__ = ["FLOOD", "FRAME", "main"]

FRAME = MAX_BYTES + 2 * 2**20
FLOOD = 77  # exit status
_SHOWN, _ALLOWED = 20_000, 10_000_000
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class _Printed(io.TextIOBase):
    """Keeps the beginning of what is printed, and ends the process if it is a flood."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.kept = self.seen = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.seen += len(text)
        if self.seen > _ALLOWED:
            os._exit(FLOOD)
        if self.kept < _SHOWN:
            self.parts.append(text[: _SHOWN - self.kept])
            self.kept += len(self.parts[-1])
        return len(text)

    def taken(self) -> str:
        """Return what was printed since the last time."""
        text = _ANSI.sub("", "".join(self.parts))
        if self.seen > self.kept:
            text += f"\n… ({self.seen:,} characters in all)"
        self.parts, self.kept, self.seen = [], 0, 0
        return text


def main(descriptor: int, limits: dict[str, int], folders: tuple[str, ...] = ()) -> None:
    """Serve until the socket closes.

    Parameters
    ----------
    descriptor
        Of the socket.
    limits
        Hard limits by their names in `resource`, for example ``RLIMIT_NPROC``.
    folders
        Those to be handed over.
    """
    connection = Connection(descriptor)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    # Should the machine run out of memory all the same, then let it take this process.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")
    os.makedirs(os.environ["HOME"], exist_ok=True)
    shell = _shell()
    for name, value in limits.items():
        number = getattr(resource, name)
        # The sandbox's first process as well: its memory can be written to, so it may become a learner's.
        for process in (1, os.getpid()):
            hard = resource.prlimit(process, number)[1]
            most = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.prlimit(process, number, (most, most))
    _hand_over(descriptor, folders)
    connection.send_bytes(pack({"id": 0, "ready": True}))
    printed = _Printed()
    while True:
        try:
            asked = unpack(connection.recv_bytes(FRAME))
            about = connection.recv_bytes(FRAME)
        except EOFError:
            return
        with _capture(printed):
            if asked["op"] == "cell":
                ok, reply = _run(shell, about.decode()), None
            else:
                ok, reply = True, answer(shell.user_ns, about)
        connection.send_bytes(pack({"id": asked["id"], "ok": ok, "text": printed.taken()}))
        if reply is not None:
            connection.send_bytes(reply)


def _hand_over(descriptor: int, folders: tuple[str, ...]) -> None:
    opened = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for folder in folders]
    with socket.socket(fileno=os.dup(descriptor)) as ours:
        socket.send_fds(ours, [b"\0"], opened)
    for one in opened:
        os.close(one)


def _shell():
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Shell(InteractiveShell):
        # Figures are drawn and thrown away: no window, whatever `%matplotlib` asks for.
        def enable_matplotlib(self, gui=None):
            return gui, "agg"

        def enable_gui(self, gui=None):
            pass

        # `!command`, which IPython gives a terminal; there is none.
        def system(self, cmd):
            command = ["/bin/sh", "-c", self.var_expand(cmd, depth=1)]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace")
            print(done.stdout + done.stderr, end="")
            self.user_ns["_exit_code"] = done.returncode

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.history_length = 0
    return Shell.instance(config=config)


def _run(shell, source: str) -> bool:
    try:
        result = shell.run_cell(source, store_history=False)
    except SystemExit:
        return False
    return bool(result.success)


@contextmanager
def _capture(printed: _Printed) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = printed
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
