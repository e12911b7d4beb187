"""Checkpoints of another run, or damaged, are refused and stay as they are."""

import functools
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")


OTHER = {
    "seed was 0, is 1": lambda r: {"seed": 1},
    "every was 10, is 5": lambda r: {"every": 5},
    "optimizer was Adam .*, is Adam .*lr: 0.1": lambda r: {
        "optimizer": functools.partial(torch.optim.Adam, lr=0.1)
    },
    "optimizer was Adam .*, is SGD": lambda r: {"optimizer": functools.partial(torch.optim.SGD, lr=3e-2)},
    r"clip was Adaptive {share: 0.5, .*, is Adaptive {share: 0.7": lambda r: {"clip": r.Adaptive(0.7)},
    "clip was Adaptive .*, is None": lambda r: {"clip": None},
    "clip was .*, is partial.*max_norm=1.0": lambda r: {
        "clip": functools.partial(torch.nn.utils.clip_grad_norm_, max_norm=1.0)
    },
    "loss_fn was loss_fn, is other_loss": lambda r: {"loss_fn": r.other_loss},
    "evaluate was evaluate, is None": lambda r: {"evaluate": None},
    "stop was None, is Patience": lambda r: {"stop": r.Patience()},
    r"digest of batch_of\(0\) was": lambda r: {"batches": lambda step: r.batch_of(step + 1)},
    "digest of the weights at the start was": lambda r: {"model": r.model_of(1)},
    "digest of the weights .* was": lambda r: {"model": r.model_of(0, size=7)},
    "names of trained parameters was": lambda r: {"model": r.model_of().requires_grad_(True)},
}


@pytest.mark.parametrize("message", OTHER)
def test_another_run_is_refused(resumable, message, path, undisturbed):
    with pytest.raises(resumable.CutError):
        resumable.run(path=path, batches=resumable.cut_at(25, resumable.fail))
    before, changes = path.read_bytes(), OTHER[message](resumable)
    if message.startswith("names"):
        changes["model"] = resumable.model_of()
        changes["model"][0].bias.requires_grad_(False)
    with pytest.raises(
        ValueError, match=rf"^checkpoint: .*run\.pt is of another run: .*{message}.*delete the file"
    ):
        resumable.run(path=path, **changes)
    assert path.read_bytes() == before
    resumable.same(resumable.run(path=path), undisturbed)


def test_a_damaged_file_is_refused_and_stays(resumable, path, tmp_path):
    resumable.run(path=path)
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
            resumable.run(path=path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"checkpoint: {path} is ")  # noqa: PT017
            assert path.read_bytes() == content
        else:  # a bit of the zip's own padding: all that is stored was read whole
            path.write_bytes(whole)
    assert refused >= 20
    assert not (tmp_path / "trap").exists()


def test_a_state_that_could_not_be_read_back_is_found_before_the_run(resumable, path):
    class Holds(resumable.Adaptive):
        def state_dict(self):
            return {"path": Path()}

    with pytest.raises(TypeError, match="checkpoint: the state of model, optimizer or clip must be tensors"):
        resumable.run(path=path, clip=Holds(), batches=resumable.cut_at(1, resumable.fail))
    assert list(path.parent.iterdir()) == []


def test_a_folder_is_no_file(resumable, tmp_path):
    with pytest.raises(ValueError, match=r"checkpoint must be the path of a file; .* is a folder"):
        resumable.run(path=tmp_path)
