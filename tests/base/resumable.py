"""A run with all that a checkpoint has to hold, for the tests of resuming and for the script that is killed.

Dropout, running averages, an optimiser, a clip and a stop with states of their own, an evaluation that draws.
"""

import functools

import numpy as np
import torch

from vglib.base.training import fit


class Adaptive:
    """A clip whose threshold moves: half of the mean norm so far."""

    def __init__(self, share=0.5):
        self.share, self.norms = share, []

    def __call__(self, parameters):
        norm = torch.nn.utils.clip_grad_norm_(parameters, float("inf"))
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
