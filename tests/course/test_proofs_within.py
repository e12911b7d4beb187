"""Proofs from strangers: whatever comes, an answer comes in time, and an honest proof is judged as ever."""

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vglib.course.proofs import THEOREMS, check, judge_within, read, within

HONEST = [
    ("Q.T*Q = I", "hypothesis"),
    ("norm(Q*x)^2 = (Q*x).T*(Q*x)", "norm"),
    ("norm(x)^2 = x.T*x", "norm"),
    ("norm(Q*x)^2 = norm(x)^2", "substitute"),
    ("norm(Q*x) = norm(x)", "square root"),
]
NAME = "orthogonal_norm"


@pytest.fixture
def fresh(monkeypatch):
    """No process waits yet, and none is left behind."""
    monkeypatch.setattr(within, "_idle", within._Idle())
    yield monkeypatch
    within._close()


def judge_as(monkeypatch, code):
    """Let the processes that judge run this instead, whenever a proof has come."""
    start = """import sys\nprint('"ready"', flush=True)\nfor line in sys.stdin:\n    """
    monkeypatch.setattr(within, "_code", lambda: start + code)


def test_an_honest_proof_gets_the_report_that_it_gets_elsewhere():
    for steps in (HONEST, HONEST[1:], [("x = 1", "algebra")]):
        assert judge_within(NAME, read(steps)) == check(NAME, steps)


def test_an_honest_proof_takes_less_than_a_second():
    judge_within(NAME, read(HONEST))
    started = time.monotonic()
    assert judge_within(NAME, read(HONEST)).passed
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("code", ["while True: pass", "10**10**9 > 1", "import time; time.sleep(99)"])
def test_what_never_ends_is_stopped_and_the_next_proof_judged(fresh, code):
    with fresh.context() as patched:
        judge_as(patched, code)
        judge = within._Judge()
        within._give_back(judge)
        started = time.monotonic()
        report = judge_within(NAME, read(HONEST), 0.5)
        assert time.monotonic() - started < 3
    assert not report.passed
    assert report.message.startswith("stopped after 0.5 s: this proof is too much to check.")
    assert judge.process.returncode is not None
    assert judge_within(NAME, read(HONEST)).passed


def test_a_process_ends_by_itself_if_nobody_is_left_to_end_it():
    """The limit is kept inside as well: it holds while Python never comes to look at a signal."""
    code = (
        "import vglib.course.proofs.checker as checker\n"
        "def judge(*_):\n    while True: 7**10**6\n"
        "checker.judge = judge\n"
        "from vglib.course.proofs.child import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input='["x", [], 0.3]\n', capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, '"ready"\n')


def test_a_process_that_died_is_replaced(fresh):
    assert judge_within(NAME, read(HONEST)).passed
    within._idle.judges[-1].process.kill()
    assert judge_within(NAME, read(HONEST)).passed


@pytest.mark.parametrize("code", ["break", "import os; os.abort()", "print('half', end=''); break"])
def test_a_proof_that_kills_its_process_earns_nothing(fresh, code):
    judge_as(fresh, code)
    report = judge_within(NAME, read(HONEST))
    assert not report.passed
    assert report.message.startswith("the checker ran out of memory or failed")


def test_a_process_judges_so_many_proofs_and_no_more(fresh):
    fresh.setattr(within, "MAX_USES", 2)
    assert judge_within(NAME, read(HONEST)).passed
    first = within._idle.judges[0].process
    assert judge_within(NAME, read(HONEST)).passed
    assert within._idle.judges == []
    assert first.returncode is not None


def test_in_threads():
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda _: judge_within(NAME, read(HONEST), 60), range(6)))
    assert all(report.passed for report in reports)


def in_worker(connection):
    assert multiprocessing.current_process().daemon
    connection.send(judge_within(NAME, read(HONEST), 60).passed)


def test_in_a_daemon_that_may_have_no_children():
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=in_worker, args=(there,), daemon=True)
    process.start()
    assert here.poll(100)
    assert here.recv()
    process.join(10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_after_a_fork():
    code = (
        "import os, sys\n"
        "from vglib.course.proofs import judge_within, read\n"
        f"proof = read({HONEST!r})\n"
        f"assert judge_within({NAME!r}, proof, 60).passed\n"
        "one = os.fork()\n"
        f"passed = all(judge_within({NAME!r}, proof, 60).passed for _ in range(3))\n"
        "if one == 0: sys.exit(0 if passed else 3)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) == 0\n"
        f"assert passed and judge_within({NAME!r}, proof, 60).passed\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_taken_from_the_folder_that_one_is_in(tmp_path):
    for name in ("sympy", "json", "numpy", "vglib"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken from the wrong folder')")
    code = (
        "import os\nfrom vglib.course.proofs import judge_within, read\n"
        f"proof = read({HONEST!r})\nos.chdir({str(tmp_path)!r})\n"
        f"assert judge_within({NAME!r}, proof, 60).passed"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc here")
def test_the_process_ends_with_whoever_started_it():
    code = (
        "import os\nfrom vglib.course.proofs import judge_within, read, within\n"
        f"judge_within({NAME!r}, read({HONEST!r}), 60)\n"
        "print(within._idle.judges[0].process.pid, flush=True)\nos._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    state = Path(f"/proc/{int(done.stdout)}/stat")
    for _ in range(100):
        # Z: it has ended, and nobody has asked how.
        if not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("it is still there")


def test_what_cannot_be_asked():
    with pytest.raises(ValueError, match="theorem must be one of"):
        judge_within("lstm", [])
    for seconds in (0, -1, float("nan"), float("inf"), "1", True):
        with pytest.raises(ValueError, match="seconds must be a positive number"):
            judge_within(NAME, read(HONEST), seconds)


def test_without_sympy(fresh):
    fresh.setitem(sys.modules, "sympy", None)
    with pytest.raises(ImportError, match=r'a proof is checked with SymPy: pip install "vglib\[proofs\]"'):
        judge_within(NAME, read(HONEST))


def test_what_does_not_start_is_no_verdict(fresh):
    fresh.setattr(within.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="does not start"):
        judge_within(NAME, read(HONEST))


def test_importing_does_not_load_sympy():
    code = (
        "import sys; from vglib.course.proofs import judge_within\n"
        "assert not judge_within('orthogonal_norm', [[['=', 1], 'algebra', None]]).passed\n"
        "assert 'sympy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(THEOREMS)), plain)
def test_any_plain_data_is_refused(name, data):
    report = judge_within(name, data)
    assert not report.passed
    str(report).encode()


kinds = st.sampled_from(
    [
        *["=", "!=", ">", ">=", "<", "<=", "+", "-", "*", "/", "^", "neg", "T", "call", "symbol", "at"],
        *["step", "start", "raise", "norm", "d", "sqrt", "F", "diag", "largest", "e", "x", "Q", "h_bar", "z"],
    ]
)
nodes = st.recursive(
    kinds | st.integers(-3, 3) | st.none() | st.just(10**30),
    lambda inner: st.lists(inner, min_size=1, max_size=4),
    max_leaves=10,
)
rules = st.sampled_from(sorted({rule for theorem in THEOREMS.values() for rule in theorem.rules}))
steps = st.tuples(
    st.tuples(st.sampled_from(["=", ">=", "<="]), nodes, nodes).map(list) | nodes,
    rules | st.text(max_size=5),
    st.none() | st.lists(st.integers(-1, 3), max_size=3),
).map(list)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(THEOREMS)), st.lists(steps, max_size=3))
def test_almost_trees_are_refused(name, data):
    report = judge_within(name, data)
    assert not report.passed
    str(report).encode()
