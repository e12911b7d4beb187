"""Training against a loop written by hand; the same numbers whatever surrounds it."""

import dataclasses
import functools
import re

import numpy as np
import pytest

from vglib.base.training import History, fit

torch = pytest.importorskip("torch")
functional = torch.nn.functional


@pytest.fixture(autouse=True)
def _one_thread(torch):
    """Bits depend on the number of threads."""


class Reader(torch.nn.Module):
    """An RNN that is read at its end."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.rnn, self.drop, self.out = torch.nn.RNN(3, 8), torch.nn.Dropout(dropout), torch.nn.Linear(8, 1)

    def forward(self, x):
        return self.out(self.drop(self.rnn(x)[0][-1]))


def mlp():
    layers = torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1)
    return torch.nn.Sequential(*layers)


def sequences(step):
    x = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(step))
    return x, x.sum(dim=(0, 2))[:, None]


def loss_of_pair(model, batch):
    x, target = batch
    return functional.mse_loss(model(x), target)


KINDS = ("RNN", "MLP with dropout", "dict, unused and fixed parameters")


def parts(toy, kind):
    """Return what makes the model, its batches and its loss."""
    if kind == "RNN":
        return lambda: toy.made(Reader), sequences, loss_of_pair
    if kind.startswith("MLP"):
        return lambda: toy.made(mlp), lambda step: tuple(toy.batch_of(step).values()), loss_of_pair
    return toy.made, toy.batch_of, toy.loss_fn


ADAM = functools.partial(torch.optim.Adam, lr=1e-2)
CLIPS = {"none": None, "by norm": functools.partial(torch.nn.utils.clip_grad_norm_, max_norm=0.5)}


def own_seed():
    """Return what seeds torch in a run of seed 0."""
    from vglib.base.arrays import random_stream

    return int(random_stream(0, "training").integers(2**63))


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("kind", KINDS)
def test_against_a_loop_by_hand(toy, kind, clip, device):
    make, batch_of, loss_fn = parts(toy, kind)
    clip, ours, hers = CLIPS[clip], make(), make().to(device)
    history = fit(
        ours, batch_of, loss_fn, steps=25, optimizer=ADAM, clip=clip, every=10, device=device, progress=False
    )
    optimizer = ADAM(hers.parameters())
    losses, norms = [], []
    cudnn = {"enabled": True, "deterministic": True, "allow_tf32": torch.backends.cudnn.allow_tf32}
    with torch.random.fork_rng(), torch.backends.cudnn.flags(**cudnn):
        torch.manual_seed(own_seed())
        for step in range(25):
            batch = batch_of(step)
            on = {k: v.to(device) for k, v in batch.items()} if isinstance(batch, dict) else None
            on = on or tuple(part.to(device) for part in batch)
            optimizer.zero_grad()
            loss = loss_fn(hers, on)
            loss.backward()
            found = [p.grad.double().cpu().numpy().ravel() for p in hers.parameters() if p.grad is not None]
            norms.append(np.linalg.norm(np.concatenate(found)))
            if clip:
                clip(hers.parameters())
            optimizer.step()
            losses.append(loss.item())
    assert history.loss.tolist() == losses  # bit for bit
    np.testing.assert_allclose(history.grad_norm, norms, rtol=1e-12)
    assert history.clipped.tolist() == [clip is not None and norm > 0.5 for norm in norms]
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), hers.parameters(), strict=True))
    assert [entry["step"] for entry in history.evaluations] == [10, 20, 25]
    windows = [losses[:10], losses[10:20], losses[20:]]
    assert [entry["loss"] for entry in history.evaluations] == pytest.approx(list(map(np.mean, windows)))
    assert history.stopped_at is None
    assert history.nonfinite_at is None


def test_what_a_history_is(toy):
    history = toy.run(clip=toy.clip)
    assert [array.dtype.kind for array in (history.loss, history.grad_norm, history.clipped)] == list("ffb")
    assert {array.shape for array in (history.loss, history.grad_norm, history.clipped)} == {(10,)}
    text = rf"History\(10 steps, loss \S+ → \S+, {history.clipped.sum()} clipped, 1 evaluations\)"
    assert re.fullmatch(text, repr(history))
    with pytest.raises(dataclasses.FrozenInstanceError):
        history.loss = None
    empty = History(np.empty(0), np.empty(0), np.empty(0, dtype=bool), [], stopped_at=3, nonfinite_at=2)
    assert repr(empty) == "History(0 steps, 0 clipped, 0 evaluations, stopped at 3, not finite at 2)"


def test_the_same_call_gives_the_same_numbers_whatever_surrounds_it(toy, device):
    def run(**changes):
        make, batch_of, loss_fn = parts(toy, "MLP with dropout")
        arguments = {"steps": 30, "optimizer": ADAM, "every": 10, "device": device, **changes}
        return fit(make(), batch_of, loss_fn, **arguments).loss.tolist()

    first = run()
    torch.rand(7)
    assert run() == first
    # Nothing that is looked at on the way changes the course of the run.
    draws = []
    assert run(every=4, evaluate=lambda model: {"x": draws.append(torch.rand(3).tolist()) or 0.0}) == first
    assert len(draws) == 8
    assert all(draw == draws[0] for draw in draws)
    assert run(seed=1) != first


def test_global_random_state_stays(toy, device):
    states = [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if device == "cuda" else [])]
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    make, batch_of, loss_fn = parts(toy, "MLP with dropout")
    fit(make(), batch_of, loss_fn, steps=3, optimizer=ADAM, device=device)
    with pytest.raises(ZeroDivisionError):
        fit(make(), lambda step: 1 / 0, loss_fn, steps=3, optimizer=ADAM, device=device)
    after = [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if device == "cuda" else [])]
    assert all(torch.equal(a, b) for a, b in zip(states, after, strict=True))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
