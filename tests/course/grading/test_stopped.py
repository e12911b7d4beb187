"""What takes too much is stopped and reported; the learner's other exercises keep their points."""

import os
import time
from dataclasses import replace

import pytest

from vglib.course.grading.sandbox import SandboxError
from vglib.course.grading.session import Session, Stopped

TOOLS = """
import ctypes, mmap, os, signal, socket, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
EXIT = 60 if os.uname().machine == "x86_64" else 93  # of one thread
def hold(bytes_a_step=1 << 24):
    held = []
    while True:
        held.append(b"x" * bytes_a_step)
def below(function):
    if os.fork() == 0:
        function()
        os._exit(0)
"""
# In the cell of the answer: why it may be stopped.
CELLS = {
    "a loop": ("while True: pass", "time"),
    "a loop that nothing interrupts": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n"
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "time",
    ),
    "a loop in C": ("pow(7, 10**9)", "time"),
    "a regular expression": ("import re\nre.match('(a+)+$', 'a' * 50 + 'b')", "time"),
    "a name that is no text": (
        "libc.prctl(15, b'\\xff\\xfe\\x0bRssAnon: -9', 0, 0, 0)\nwhile True: pass",
        "time",
    ),
    "a stop": ("os.kill(os.getpid(), signal.SIGSTOP)", "time"),
    "memory": ("hold()", "memory"),
    "memory at once": ("np.ones(10**8)\nnp.ones(10**8) + np.ones(10**8)\ntime.sleep(9)", "memory"),
    "memory below": ("below(hold)\ntime.sleep(9)", "memory"),
    "memory of a process whose first thread has ended": (
        "def quiet():\n    threading.Thread(target=hold).start()\n    libc.syscall(EXIT, 0)\n"
        "below(quiet)\ntime.sleep(9)",
        "memory",
    ),
    "memory in files": (
        "for i in range(9):\n    for folder in ('/tmp', '/dev/shm'):\n        try:\n"
        "            open(f'{folder}/{i}', 'wb').write(b'x' * (60 << 20))\n        except OSError: pass\n"
        "held = np.ones(55 << 20)\ntime.sleep(9)",
        "memory",
    ),
    "memory in sockets": (
        "def fill():\n    pairs = []\n    for i in range(100):\n"
        "        pairs += (pair := socket.socketpair())\n        for one in pair:\n"
        "            one.setblocking(False)\n            try:\n"
        "                while one.send(b'x' * 65536): pass\n"
        "            except BlockingIOError: pass\n    time.sleep(9)\n"
        "for i in range(50):\n    below(fill)\ntime.sleep(9)",
        "memory",
    ),
    "memory in sockets that nobody accepts": (
        "server = socket.socket(socket.AF_UNIX)\nserver.bind('/tmp/s')\nserver.listen(4000)\n"
        "for i in range(3000):\n    with socket.socket(socket.AF_UNIX) as one:\n"
        "        one.connect('/tmp/s')\n        one.setblocking(False)\n        try:\n"
        "            while one.send(b'x' * 65536): pass\n        except BlockingIOError: pass\n"
        "time.sleep(9)",
        "memory",
    ),
    "output": ("while True: print('x' * 1000)", "output"),
    "one huge output": ("print('x' * 20_000_000)", "output"),
    "the end": ("os._exit(0)", "died"),
    "the end of all": (
        "try:\n    os.kill(-1, signal.SIGKILL)\nfinally:\n    os.kill(os.getpid(), signal.SIGKILL)",
        "died",
    ),
    "a crash": ("ctypes.string_at(0)", "died"),
}
# The function that is asked for ends in the same ways.
CALLS = {
    "a loop": ("while True: pass", "time"),
    "sleep": ("time.sleep(60)", "time"),
    "a loop in C": ("pow(7, 10**9)", "time"),
    "the end": ("os._exit(0)", "died"),
    "output": ("print('x' * 20_000_000)", "output"),
    "memory": ("hold()", "memory"),
}
# These fill what is bounded anyway; the cell ends, perhaps with an error, and nobody is stopped.
BOMBS = {
    "a file": "with open('/tmp/x', 'wb') as file:\n    while True: file.write(b'x' * (1 << 20))",
    "shared memory": "with open('/dev/shm/x', 'wb') as file:\n    while True: file.write(b'x' * (1 << 20))",
    "memfd": "os.memfd_create('x')",
    "a mapping of nobody": "mmap.mmap(-1, 1 << 30)",
    "processes": "for i in range(5000):\n    below(lambda: time.sleep(60))",
    "threads": "for i in range(5000):\n    threading.Thread(target=time.sleep, args=(60,)).start()",
    "a late end": "threading.Timer(1.0, os._exit, (0,)).start()",
    "an end at the end": "import atexit\natexit.register(os._exit, 0)",
    "output to nowhere": "for i in range(300): os.write(1, b'x' * (1 << 20))",
}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_that_takes_too_much_is_stopped(notebook, hand_in, others_count, name):
    source, kind = CELLS[name]
    notebook.answer(f"{TOOLS}\n{source}\ndef NAME(*inputs):\n    return 0.5")
    # Slow machines need their time to fill a memory.
    result = hand_in(notebook, cell=1.5 if kind == "time" else 10.0)
    mark = others_count(notebook, result)
    assert mark.stopped == kind, (mark, result.reports)
    assert mark.text.startswith("Stopped: ")
    assert len(result.reports) == 1
    assert notebook.task in result.reports[0]


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_takes_too_much_is_stopped(notebook, hand_in, others_count, name):
    source, kind = CALLS[name]
    notebook.answer(f"{TOOLS}\ndef NAME(*inputs):\n    {source}")
    result = hand_in(notebook, call=1.0 if kind == "time" else 10.0)
    mark = others_count(notebook, result)
    assert mark.stopped == kind, (mark, result.reports)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_in_a_cell_of_ones_own_takes_no_points_away(notebook, hand_in, scores, name):
    notebook.add(f"{TOOLS}\n{BOMBS[name]}")
    result = hand_in(notebook)
    assert all(scores(result).values()), result


def test_daemons_end_with_the_sandbox(notebook, hand_in, scores):
    daemon = "os.setsid()\n    libc.prctl(15, b'left behind', 0, 0, 0)\n    below(lambda: time.sleep(60))"
    notebook.add(f"{TOOLS}\ndef daemon():\n    {daemon}\n    time.sleep(60)\nbelow(daemon)")
    assert all(scores(hand_in(notebook)).values())
    left = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/comm", "rb") as file:
                left += [process] * (file.read() == b"left behind\n")
        except OSError:
            continue
    assert not left


def test_when_the_time_is_over_what_was_earned_stays(notebook, hand_in):
    notebook.add("import time\ntime.sleep(60)", after=notebook.task)
    result = hand_in(notebook, cell=30.0, total=3.0)
    first, second, third = result.marks
    assert first.score == first.points
    assert (second.stopped, third.stopped) == ("total", "total")


def test_time_that_is_over_before_the_start_is_the_submissions_fault(sandbox, small):
    with pytest.raises(Stopped) as stopped:
        Session(replace(small, total=1.0), until=time.monotonic() + 0.02)
    assert stopped.value.kind == "total"


def test_a_sandbox_that_does_not_start_is_the_machines_fault(sandbox, small, monkeypatch):
    monkeypatch.setattr("vglib.course.grading.session._CODE", "raise OSError('no')  # {limits}{folders}")
    with pytest.raises(SandboxError, match=r"did not start: (.|\n)*OSError: no"):
        Session(small)
    monkeypatch.setattr(
        "vglib.course.grading.session._CODE", "import time; time.sleep(9) # {limits}{folders}"
    )
    with pytest.raises(SandboxError, match=r"did not start: start took more than 0\.3 s"):
        Session(replace(small, start=0.3))


def test_a_watch_that_fails_ends_the_sandbox(sandbox, small, monkeypatch):
    with Session(small) as session:
        monkeypatch.setattr(session._sandbox, "memory", lambda: 1 / 0)
        with pytest.raises(Stopped, match="could not be watched"):
            session.cell("while True: pass")
