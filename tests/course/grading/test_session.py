"""A sandbox with a learner's names in it: cells go in, calls come out, and it is gone when it is over."""

import os
import pickle
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vglib.course.calling import Call, CheckFailed
from vglib.course.grading.sandbox import SandboxError, exposed, processes
from vglib.course.grading.session import Session, Stopped, shown


def test_cells_share_their_names_and_tell_how_they_ended(session):
    assert session.cell("x = 1") == (True, "")
    assert session.cell("print(x)") == (True, "1\n")
    well, printed = session.cell("x / 0")
    assert not well
    assert "ZeroDivisionError" in printed
    well, printed = session.cell("this is no Python")
    assert not well
    assert "SyntaxError" in printed
    assert session.cell("# " + "x" * 400_000 + "\nprint('ä😀')") == (True, "ä😀\n")


def test_functions_are_called_through_the_wall(session):
    session.cell("import numpy as np\ndef f(x, y):\n    print('here')\n    return x @ y, {'n': len(x)}")
    call = Call(session.send)
    x = np.random.default_rng(0).normal(size=(40, 50))
    product, about = call("f", x, x.T)
    np.testing.assert_allclose(product, x @ x.T)
    assert about == {"n": 40}
    with pytest.raises(CheckFailed, match="raises ValueError"):
        call("f", x, x)
    with pytest.raises(CheckFailed, match="`g` does not exist"):
        call("g")
    assert len(call.many("f", [(x, x.T)] * 3)) == 3


def test_a_session_ends_with_all_its_processes(sandbox, small):
    with Session(small) as session:
        session.cell("import os, time\nfor i in range(5):\n    if os.fork() == 0: time.sleep(60)")
        inside = processes(session.process_id)
        assert len(inside) >= 7
    # Not a moment later: whoever closes it waits for the last one.
    assert not [pid for pid in inside if _alive(pid)]
    assert session.close() == ""


def _alive(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_sandbox_ends_with_its_grader(sandbox):
    """Killed, a grader closes nothing: the processes inside must hear of it from the kernel."""
    code = """if True:
        import os, sys
        from vglib.course.grading.limits import Limits
        from vglib.course.grading.sandbox import processes
        from vglib.course.grading.session import Session
        session = Session(Limits())
        session.cell("import os, time\\nif os.fork() == 0:\\n    os.setsid()\\n    while True: pass")
        print(*processes(session.process_id), flush=True)
        session.cell("while True: pass")
    """
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as grader:
        inside = list(map(int, grader.stdout.readline().split()))
        grader.kill()
    assert len(inside) >= 4
    for _ in range(40):
        if not any(map(_alive, inside)):
            break
        time.sleep(0.05)
    assert not [pid for pid in inside if _alive(pid)]


def test_a_python_that_lies_in_the_home_folder_is_refused(sandbox, small, monkeypatch):
    monkeypatch.setattr("pathlib.Path.home", lambda: Path(sys.prefix) / "teacher")
    with pytest.raises(SandboxError, match=r"use one that is installed in a folder of its own"):
        Session(small)


def test_nothing_is_left_open(sandbox, small):
    Session(small).close()
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for source in ("x = 1", "import os; os._exit(1)", "import os; os.close(0); os.kill(os.getpid(), 19)"):
        try:
            with Session(replace(small, cell=0.5)) as session:
                session.cell(source)
        except Stopped:
            pass
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_a_session_that_is_gone_says_so_again(sandbox, small):
    with Session(small) as session:
        for _ in range(2):
            with pytest.raises(Stopped) as stopped:
                session.cell("import os; os._exit(3)")
            assert stopped.value.kind == "died"
        with pytest.raises(Stopped):
            session.send(b"")


@pytest.mark.parametrize("bytes_", [0, 20_000_000])
def test_whoever_does_not_listen_is_stopped(sandbox, small, bytes_):
    with Session(replace(small, call=0.5)) as session:
        session.cell("import os, signal, threading\nthreading.Timer(0.1, os.kill, (os.getpid(), 19)).start()")
        time.sleep(0.3)
        begun = time.monotonic()
        with pytest.raises(Stopped) as stopped:
            session.send(b"x" * bytes_)
        assert stopped.value.kind == "time"
        assert time.monotonic() - begun < 5


def test_what_stopped_it_can_be_sent_to_another_process():
    stopped = pickle.loads(pickle.dumps(Stopped("memory", "too much")))
    assert (stopped.kind, str(stopped)) == ("memory", "too much")


def test_a_missing_bubblewrap_is_named(small, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SandboxError, match=r"apt-get install bubblewrap|libseccomp"):
        Session(small)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_machine_without_room_for_a_process_is_no_fault_of_the_submission(sandbox, small, monkeypatch):
    def full(*about, **more):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("subprocess.Popen", full)
    with pytest.raises(SandboxError, match=r"no sandbox can be made: .*Resource temporarily"):
        Session(small)


def test_a_refused_namespace_is_told(sandbox, small, monkeypatch, tmp_path):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(fake) if name == "bwrap" else f"/usr/bin/{name}")
    with pytest.raises(SandboxError, match="did not start: bwrap: No permissions to create new namespace"):
        Session(small)


def test_folders_that_can_be_seen_inside_are_known(tmp_path):
    assert exposed(tmp_path) is None
    assert exposed(Path(__file__)) is None
    assert exposed(Path("/usr/share")) is not None
    link = tmp_path / "link"
    link.symlink_to("/usr/share")
    assert exposed(link) is not None
    assert exposed(Path(np.__file__)) is not None


def test_a_strangers_text_can_be_shown_anywhere():
    text = "a\r\nb\rc\td\0\x1b[2J\x9b\u202eé😀\ud800"
    assert shown(text) == "a\nb\nc\td\ufffd\ufffd[2J\ufffd\ufffdé😀?"
    assert len(shown("x" * 10**6)) < 30_000


def test_without_a_sandbox_the_same_is_answered(small):
    with Session(small, unsafe=True) as session:
        assert session.cell("print(1)") == (True, "1\n")
        with pytest.raises(Stopped) as stopped:
            session.cell("while True: pass")
    assert stopped.value.kind == "time"
