"""The checkpoint of a training run: exact after any end, refused when not of this run, never in pieces."""

import functools
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from vglib.base.training import fit

torch = pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _one_thread(torch):
    """Bits depend on the number of threads."""


class Adaptive:
    """A clip whose threshold moves: half of the mean norm so far."""

    def __init__(self, share=0.5):
        self.share, self.norms = share, []

    def __call__(self, parameters):
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
        self.norms.append(float(norm))
        torch.nn.utils.clip_grad_norm_(parameters, self.share * sum(self.norms) / len(self.norms))

    def state_dict(self):
        return {"norms": list(self.norms)}

    def load_state_dict(self, state):
        self.norms = list(state["norms"])


class Patience:
    """Stops after some windows without progress."""

    def __init__(self):
        self.best, self.bad = float("inf"), 0

    def __call__(self, evaluation):
        better = evaluation["probe"] < self.best - 0.05
        self.best, self.bad = (evaluation["probe"], 0) if better else (self.best, self.bad + 1)
        return self.bad == 3

    def state_dict(self):
        return vars(self).copy()

    def load_state_dict(self, state):
        vars(self).update(state)


def model_of(seed=0, size=6):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Linear(3, size),
            torch.nn.BatchNorm1d(size),
            torch.nn.Dropout(0.3),
            torch.nn.Linear(size, 1),
        )


def batch_of(step):
    return np.random.default_rng(step).normal(size=(8, 3)).astype("float32")


def loss_fn(model, x):
    return (model(x) - x.sum(dim=1, keepdim=True)).square().mean()


def other_loss(model, x):
    return loss_fn(model, x) * 2


def evaluate(model):
    return {
        "probe": float(loss_fn(model, torch.linspace(-1, 1, 24).reshape(8, 3))),
        "draw": float(torch.rand(())),
    }


ADAM = functools.partial(torch.optim.Adam, lr=3e-2)


def run(model=None, path=None, batches=batch_of, **changes):
    """Train, and return history and weights."""
    model = model_of() if model is None else model
    arguments = {
        "steps": 47,
        "optimizer": ADAM,
        "clip": Adaptive(),
        "evaluate": evaluate,
        "every": 10,
        "device": "cpu",
        "checkpoint": path,
        **changes,
    }
    return fit(model, batches, arguments.pop("loss_fn", loss_fn), **arguments), model.state_dict()


def same(one, other):
    """Assert equality to the last bit."""
    (history, weights), (history_2, weights_2) = one, other
    for name in ("loss", "grad_norm", "clipped"):
        np.testing.assert_array_equal(getattr(history, name), getattr(history_2, name))
    assert history.evaluations == history_2.evaluations
    assert (history.stopped_at, history.nonfinite_at) == (history_2.stopped_at, history_2.nonfinite_at)
    assert weights.keys() == weights_2.keys()
    assert all(torch.equal(weights[name], weights_2[name]) for name in weights)


@pytest.fixture(scope="module")
def undisturbed():
    torch.set_num_threads(1)
    return run()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made" / "run.pt"


class CutError(Exception):
    """A failure in somebody else's code."""


def cut_at(at, act):
    """Return batches that do something at a step."""

    def batches(step):
        if step == at:
            act()
        return batch_of(step)

    return batches


def fail():
    raise CutError


def test_a_checkpoint_changes_nothing(path, undisturbed):
    same(run(path=path), undisturbed)
    assert [file.name for file in path.parent.iterdir()] == ["run.pt"]
    stored = torch.load(path, weights_only=True)
    fresh = model_of(3)
    fresh.load_state_dict(stored["model"])
    same((undisturbed[0], fresh.state_dict()), undisturbed)


@pytest.mark.parametrize("at", [1, 10, 25, 46])
def test_it_goes_on_after_a_failure(at, path, undisturbed):
    with pytest.raises(CutError):
        run(path=path, batches=cut_at(at, fail))
    same(run(path=path), undisturbed)


@pytest.mark.parametrize(
    "handed_over", [lambda clip: clip.__call__, lambda clip: functools.partial(clip.__call__)]
)
def test_the_state_behind_a_method_is_kept(handed_over, path, undisturbed):
    with pytest.raises(CutError):
        run(path=path, batches=cut_at(25, fail), clip=handed_over(Adaptive()))
    with pytest.raises(ValueError, match=r"clip was .*share: 0\.5.*, is .*share: 0\.6"):
        run(path=path, clip=handed_over(Adaptive(0.6)))
    same(run(path=path, clip=handed_over(Adaptive())), undisturbed)


def test_a_finished_run_is_not_run_again(path, undisturbed):
    run(path=path)
    before = path.read_bytes()
    again = run(path=path, batches=cut_at(1, fail))
    same(again, undisturbed)
    assert path.read_bytes() == before


def test_more_steps_go_on_and_fewer_are_refused(path, undisturbed):
    short, _ = run(path=path, steps=23)
    assert [entry["step"] for entry in short.evaluations] == [10, 20, 23]
    same(run(path=path), undisturbed)
    with pytest.raises(ValueError, match="steps must be at least the 47 that the checkpoint holds; got 46"):
        run(path=path, steps=46)


def test_where_it_stopped_it_stays(path):
    whole = run(stop=Patience(), steps=400)
    assert 30 < whole[0].stopped_at < 400
    same(run(stop=Patience(), steps=400, path=path), whole)
    same(run(stop=Patience(), steps=400, path=path), whole)
    path.unlink()
    at = whole[0].stopped_at - 5
    with pytest.raises(CutError):
        run(stop=Patience(), steps=400, path=path, batches=cut_at(at, fail))
    same(run(stop=Patience(), steps=400, path=path), whole)


def test_what_is_not_finite_leaves_the_checkpoint_before(path, undisturbed):
    def batches(step):
        return batch_of(step) * (np.nan if step == 33 else 1.0)

    with pytest.raises(ValueError, match="first at step 33"):
        run(path=path, batches=batches)
    assert torch.load(path, weights_only=True)["step"] <= 30
    same(run(path=path), undisturbed)  # with the batch mended


@pytest.mark.parametrize("again", ["the same objects", "new ones"])
def test_interruption_waits_for_the_end_of_a_step(again, path, undisturbed):
    before = signal.getsignal(signal.SIGINT)
    model, clip = model_of(), Adaptive()
    interrupt = functools.partial(signal.raise_signal, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(model, path, cut_at(13, interrupt), clip=clip)
    assert signal.getsignal(signal.SIGINT) is before
    assert torch.load(path, weights_only=True)["step"] == 14
    if again == "the same objects":
        same(run(model, path, clip=clip), undisturbed)
    else:
        same(run(path=path), undisturbed)


def test_a_second_interruption_does_not_wait(path, undisturbed):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(path=path, batches=cut_at(13, twice))
    assert torch.load(path, weights_only=True)["step"] <= 10
    same(run(path=path), undisturbed)


def test_without_a_checkpoint_an_interruption_does_not_wait():
    with pytest.raises(KeyboardInterrupt):
        run(batches=lambda step: signal.raise_signal(signal.SIGINT))


def test_in_another_thread(path, undisturbed):
    found = []
    thread = threading.Thread(target=lambda: found.append(run(path=path)))
    thread.start()
    thread.join()
    same(found[0], undisturbed)


OTHER = {
    "seed was 0, is 1": {"seed": 1},
    "every was 10, is 5": {"every": 5},
    "optimizer was Adam .*, is Adam .*lr: 0.1": {"optimizer": functools.partial(torch.optim.Adam, lr=0.1)},
    "optimizer was Adam .*, is SGD": {"optimizer": functools.partial(torch.optim.SGD, lr=3e-2)},
    r"clip was Adaptive {share: 0.5, .*, is Adaptive {share: 0.7": {"clip": Adaptive(0.7)},
    "clip was Adaptive .*, is None": {"clip": None},
    "clip was .*, is partial.*max_norm=1.0": {
        "clip": functools.partial(torch.nn.utils.clip_grad_norm_, max_norm=1.0)
    },
    "loss_fn was loss_fn, is other_loss": {"loss_fn": other_loss},
    "evaluate was evaluate, is None": {"evaluate": None},
    "stop was None, is Patience": {"stop": Patience()},
    r"digest of batch_of\(0\) was": {"batches": lambda step: batch_of(step + 1)},
    "digest of the weights at the start was": {"model": model_of(1)},
    "digest of the weights .* was": {"model": model_of(0, size=7)},
    "names of trained parameters was": {"model": model_of().requires_grad_(True)},
}


@pytest.mark.parametrize("message", OTHER)
def test_another_run_is_refused(message, path, undisturbed):
    with pytest.raises(CutError):
        run(path=path, batches=cut_at(25, fail))
    before, changes = path.read_bytes(), dict(OTHER[message])
    if message.startswith("names"):
        changes["model"] = model_of()
        changes["model"][0].bias.requires_grad_(False)
    with pytest.raises(
        ValueError, match=rf"^checkpoint: .*run\.pt is of another run: .*{message}.*delete the file"
    ):
        run(path=path, **changes)
    assert path.read_bytes() == before
    same(run(path=path), undisturbed)


def test_a_damaged_file_is_refused_and_stays(path, tmp_path):
    run(path=path)
    whole = path.read_bytes()
    draw = np.random.default_rng(0)
    damaged = [whole[:n] for n in (0, 1, 100, len(whole) // 2, len(whole) - 1)]
    for place in [*draw.integers(len(whole), size=20), len(whole) // 2]:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(draw.integers(8))
        damaged.append(bytes(flipped))
    torch.save({"model": {}}, tmp_path / "other.pt")
    trap = pickle.dumps(functools.partial(os.mkdir, str(tmp_path / "trap")))
    damaged += [(tmp_path / "other.pt").read_bytes(), b"text\n" * 50, trap]
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            run(path=path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"checkpoint: {path} is ")  # noqa: PT017
            assert path.read_bytes() == content
        else:  # a bit of the zip's own padding: all that is stored was read whole
            path.write_bytes(whole)
    assert refused >= 20
    assert not (tmp_path / "trap").exists()


def test_a_state_that_could_not_be_read_back_is_found_before_the_run(path):
    class Holds(Adaptive):
        def state_dict(self):
            return {"path": Path()}

    with pytest.raises(TypeError, match="checkpoint: the state of model, optimizer or clip must be tensors"):
        run(path=path, clip=Holds(), batches=cut_at(1, fail))
    assert list(path.parent.iterdir()) == []


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"checkpoint must be the path of a file; .* is a folder"):
        run(path=tmp_path)


def test_writing_takes_little_of_the_time(path, monkeypatch):
    from vglib.base.training import checkpoint

    clock = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    file = checkpoint.Checkpoint(path, {})
    assert file.is_due()
    save = torch.save

    def slow(*arguments):
        clock[0] += 1.0
        return save(*arguments)

    monkeypatch.setattr(torch, "save", slow)
    file.write({})
    clock[0] += 18.9
    assert not file.is_due()
    clock[0] += 0.2
    assert file.is_due()


KILLED = """
import os, random, signal, sys, time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
import torch
torch.set_num_threads(1)
spec = spec_from_file_location("resume", sys.argv[1])
resume = module_from_spec(spec)
spec.loader.exec_module(resume)
path, result = Path(sys.argv[2]), Path(sys.argv[3])

def slow(step):
    time.sleep(0.001)
    return resume.batch_of(step)

def child(act):
    process = os.fork()
    if process:
        return process
    act()
    history, weights = resume.run(path=path, batches=slow, steps=300)
    torch.save([history.loss.tolist(), history.grad_norm.tolist(), history.evaluations, weights], result)
    os._exit(0)

def kill(*ignored):
    os.kill(os.getpid(), signal.SIGKILL)

def in_the_middle_of_writing():
    def save(state, file):
        file.write(b"half of it")
        file.flush()
        if path.exists():
            kill()
    torch.save = save

def before_it_is_in_place():
    move, path_ = os.replace, path
    def replace(*names):
        kill() if path_.exists() else move(*names)
    os.replace = replace

def after_it_is_in_place():
    move, count = os.replace, []
    def replace(*names):
        move(*names)
        count.append(1)
        if len(count) > 1:
            kill()
    os.replace = replace

draw = random.Random(0)
resume.run(steps=12)  # what is imported on the way is imported once
os.waitpid(child(after_it_is_in_place), 0)
killed = 0
for act in [in_the_middle_of_writing, before_it_is_in_place, after_it_is_in_place] * 2:
    killed += os.waitpid(child(act), 0)[1] == signal.SIGKILL
while not result.exists():
    process = child(lambda: None)
    time.sleep(draw.uniform(0.05, 0.3) * (1 + killed / 10))
    os.kill(process, signal.SIGKILL)
    killed += os.waitpid(process, 0)[1] == signal.SIGKILL
print(killed)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks, so that torch is imported once")
def test_killed_at_any_moment(tmp_path):
    result, path = tmp_path / "result.pt", tmp_path / "run.pt"
    command = [sys.executable, "-c", KILLED, __file__, str(path), str(result)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) >= 6
    loss, grad_norm, evaluations, weights = torch.load(result, weights_only=True)
    history, expected = run(steps=300)
    assert loss == history.loss.tolist()
    assert grad_norm == history.grad_norm.tolist()
    assert evaluations == history.evaluations
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
