"""The gradebook in PostgreSQL, a real server: the same marks as in a file, and words when it is not there."""

import os
import pwd
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

PASSWORD = "not-to-be-shown"


def _programs():
    """Return the folder of the newest server's programs; None if there is none."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name.split(".")[0])
    )
    on_path = shutil.which("initdb")
    return found[-1] if found else Path(on_path).parent if on_path else None


def _somebody():
    """Return options that start a process as an ordinary user: the server refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return {}


@pytest.fixture(scope="module")
def server(unavailable, tmp_path_factory):
    """A server on the loopback device with an empty database, and what stops it."""
    pytest.importorskip("psycopg")
    programs, somebody = _programs(), _somebody()
    if programs is None:
        unavailable("no PostgreSQL: apt-get install postgresql")
    # The folders of pytest can be entered by their owner alone.
    folder = Path(f"/tmp/vglib-postgres-{os.getpid()}")
    folder.mkdir(mode=0o700)
    if somebody:
        os.chown(folder, somebody["user"], somebody["group"])
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    about = {
        "cwd": folder,
        "stdout": -1,
        "stderr": subprocess.STDOUT,
        "text": True,
        "env": {"LC_ALL": "C.UTF-8"},
    }
    data = folder / "data"
    make = [programs / "initdb", "-D", data, "-U", "grader", "-A", "scram-sha-256", "-E", "UTF8", "--no-sync"]
    made = subprocess.run([*make, "--pwfile", folder / "password"], **about, **somebody)
    assert made.returncode == 0, made.stdout
    options = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-p", str(port), "-k", folder]
    process = subprocess.Popen([programs / "postgres", "-D", data, *options], **about, **somebody)
    try:
        until = time.monotonic() + 60
        while subprocess.run([programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode:
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < until
            time.sleep(0.1)
        url = f"postgresql+psycopg://grader:{PASSWORD}@127.0.0.1:{port}/postgres"

        def stop():
            process.terminate()
            # Whoever is connected is sent away.
            subprocess.run([programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **about, **somebody)
            process.wait(timeout=60)

        yield SimpleNamespace(url=url, stop=stop)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        shutil.rmtree(folder)


def _handed_in(course, notebooks):
    course.hand_in("ada", notebooks.solved())
    course.hand_in("Zoë O'Brien", notebooks.half()[0])
    course.hand_in("ada", notebooks.blank("irnn"), "irnn")


def test_marks_in_postgresql(course, new_course, notebooks, tmp_path, server):
    """In one test from the first run to the end of the server, in this order."""
    other = new_course(tmp_path / "other")
    for one in (course, other):
        _handed_in(one, notebooks)
    other.grade("--no-feedback")
    said = course.grade("--gradebook", server.url)
    assert "3 graded now, 0 before, 0 not graded" in said.out
    assert course.scores(server.url) == other.scores()
    assert len(other.scores()) == 3
    assert course.marks() == other.marks()
    assert not (course.path / "gradebook.db").exists()
    # nbgrader is told where it is, in a file that nobody else may read.
    config = course.path / "nbgrader_config.py"
    assert server.url in config.read_text(encoding="utf-8")
    assert config.stat().st_mode & 0o077 == 0
    # It may stand in the configuration; and a second run changes nothing.
    (course.path / "grading.toml").write_text(f"gradebook = '{server.url}'\n", encoding="utf-8")
    assert "0 graded now, 3 before" in course.grade().out
    assert course.scores(server.url) == other.scores()
    # A colleague corrects, and comments.
    book = course.book(server.url)
    grade = book.find_submission("initialization", "ada").notebooks[0].grades[0]
    grade.manual_score = 0.5
    book.db.commit()
    expected = f"{book.find_submission('initialization', 'ada').score:g}"
    # What has got lost there comes back from the records.
    book.remove_submission("irnn", "ada")
    book.close()
    course.grade("--no-feedback")
    assert course.marks()["ada", "initialization"][0] == expected != "8"
    assert len(course.scores(server.url)) == 3
    # The server is stopped while somebody is graded: what was earned is kept.
    slow = notebooks.with_cells(notebooks.solved(), ("code", "import time; time.sleep(4)"))
    course.hand_in("slow", slow)
    with subprocess.Popen(
        course.command("--no-feedback"), env=course.environment, stdout=-1, stderr=-1, text=True
    ) as process:
        time.sleep(4)
        server.stop()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 3, (out, err)
    _is_one_line_without_password(err)
    # And it cannot be opened at all.
    err = course.grade("--no-feedback", code=3).err
    assert "cannot open the gradebook at postgresql+psycopg://grader:***@127.0.0.1:" in err
    _is_one_line_without_password(err)
    # Elsewhere it can: the marks are those of the records.
    said = course.grade("--no-feedback", "--gradebook", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    assert re.search("[01] graded now, [34] before, 0 not graded", said.out)
    assert ("slow", "initialization") in course.scores(f"sqlite:///{tmp_path / 'elsewhere.db'}")


def _is_one_line_without_password(error):
    assert error.startswith("vglib grade: ")
    assert error.count("\n") == 1
    assert PASSWORD not in error
