"""A training run that is killed, at any moment, again and again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[2]


KILLED = """
import os, random, signal, sys, time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
import torch
torch.set_num_threads(1)
spec = spec_from_file_location("resume", sys.argv[1])
resume = module_from_spec(spec)
spec.loader.exec_module(resume)
path, result, write = Path(sys.argv[2]), Path(sys.argv[3]), torch.save

def slow(step):
    time.sleep(0.001)
    return resume.batch_of(step)

def child(act):
    process = os.fork()
    if process:
        return process
    act()
    history, weights = resume.run(path=path, batches=slow, steps=300)
    write([history.loss.tolist(), history.grad_norm.tolist(), history.evaluations, weights], result)
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
sys.modules["vglib.base.training.checkpoint"].SHARE = 1.0  # each window is written
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
def test_killed_at_any_moment(resumable, tmp_path):
    result, path = tmp_path / "result.pt", tmp_path / "run.pt"
    command = [sys.executable, "-W", "ignore", "-c", KILLED, resumable.__file__, str(path), str(result)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) >= 6
    loss, grad_norm, evaluations, weights = torch.load(result, weights_only=True)
    history, expected = resumable.run(steps=300)
    assert loss == history.loss.tolist()
    assert grad_norm == history.grad_norm.tolist()
    assert evaluations == history.evaluations
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
