"""The same walls when an ordinary user grades: the core of these tests, run again without root's rights."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
# Nobody's number, and none that root's own sandboxes take.
UID = "60777"
CORE = [
    "test_reached.py",
    "test_session.py",
    *[
        f"test_stopped.py::test_a_cell_that_takes_too_much_is_stopped[{name}]"
        for name in (
            *("a loop", "memory in files", "memory in sockets that nobody accepts", "the end"),
            "memory of a process whose first thread has ended",
        )
    ],
    *[
        f"test_stopped.py::test_a_bomb_in_a_cell_of_ones_own_takes_no_points_away[{name}]"
        for name in ("processes", "a late end")
    ],
    "test_stopped.py::test_daemons_end_with_the_sandbox",
    "test_wrong.py::test_a_trick_in_a_cell_of_ones_own_earns_nothing[an AST transformer strips assertions]",
    "test_honest.py::test_cells_may_have_lost_their_marks",
]


def outer():
    """Return the command line that drops root's rights and lets an ordinary user see Python and checkout."""
    options = ["--dev-bind", "/", "/", "--tmpfs", "/tmp", "--chmod", "1777", "/tmp"]
    made = [Path("/tmp")]
    for path in sorted({ROOT, Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve()}):
        above = list(reversed(path.parents))
        shut = [folder for folder in above if not folder.stat().st_mode & 0o001 and folder not in made]
        made += shut
        for folder in shut[:1]:
            options += ["--tmpfs", str(folder)]
        if any(folder in made for folder in above):
            # bubblewrap makes folders on the way for its own user alone.
            for folder in above[1:]:
                options += ["--dir", str(folder)]
            options += ["--ro-bind", str(path), str(path)]
    drop = ["setpriv", "--reuid", UID, "--regid", UID, "--clear-groups", "--no-new-privs"]
    return ["bwrap", "--die-with-parent", *options, "--chdir", str(ROOT), "--", *drop]


def test_the_walls_stand_for_an_ordinary_user(sandbox):
    if os.geteuid() != 0:
        pytest.skip("the other tests have been run by an ordinary user")
    tests = [str(HERE / name) for name in CORE]
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-rs"]
    environment = {
        **{name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ},
        **{"HOME": "/tmp/teacher", "CI": "true", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
    }
    done = subprocess.run(
        [*outer(), sys.executable, "-m", "pytest", *options, *tests],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    said = f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    assert done.returncode == 0, said
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 30
    assert "skipped" not in done.stdout
