"""Bad input to `fit` and `pick_device`: which parameter, what came, what was expected."""

import functools

import numpy as np
import pytest

from vglib.base.training import fit, pick_device

torch = pytest.importorskip("torch")
SGD = functools.partial(torch.optim.SGD, lr=0.1)


def model_of():
    with torch.random.fork_rng(devices=[]):
        return torch.nn.Linear(2, 1)


def batch_of(step):
    return torch.ones(3, 2)


def loss_fn(model, x):
    return model(x).square().mean()


def run(**changes):
    arguments = {"model": model_of(), "batch_of": batch_of, "loss_fn": loss_fn, "steps": 2, "optimizer": SGD}
    arguments |= {"every": 2, "device": "cpu", **changes}
    return fit(arguments.pop("model"), arguments.pop("batch_of"), arguments.pop("loss_fn"), **arguments)


def adam():
    return torch.optim.Adam(model_of().parameters())


BAD = [
    ({"model": loss_fn}, TypeError, r"^model must be a torch\.nn\.Module; got function$"),
    ({"model": None}, TypeError, r"^model must be a torch\.nn\.Module; got NoneType$"),
    ({"model": torch.nn.Tanh()}, ValueError, r"^model must have parameters to train; got Tanh without$"),
    (
        {"model": model_of().requires_grad_(False)},
        ValueError,
        r"^model must have parameters to train; got Linear",
    ),
    ({"batch_of": [torch.ones(3, 2)]}, TypeError, r"^batch_of must be callable; got list$"),
    (
        {"batch_of": lambda step: np.array(["a"])},
        TypeError,
        r"^batch_of: a NumPy array of dtype <U1 in the batch:",
    ),
    ({"loss_fn": None}, TypeError, r"^loss_fn must be callable; got NoneType$"),
    ({"loss_fn": lambda m, x: 1.0}, TypeError, r"^loss_fn must return a scalar tensor; got float"),
    (
        {"loss_fn": lambda m, x: m(x)},
        ValueError,
        r"^loss_fn must return a scalar tensor; got shape \(3, 1\)",
    ),
    (
        {"loss_fn": lambda m, x: x.sum()},
        ValueError,
        r"^loss_fn must return a loss that depends on the parameters",
    ),
    (
        {"loss_fn": lambda m, x: torch.ones((), requires_grad=True) * 2},
        ValueError,
        r"^loss_fn must return a loss that depends on the parameters that are trained; this one does not",
    ),
    (
        {"optimizer": adam()},
        TypeError,
        r"^optimizer must be callable; got Adam \(hand over what makes one, e\.g\. f",
    ),
    ({"optimizer": "Adam"}, TypeError, r"^optimizer must be callable; got str"),
    (
        {"optimizer": lambda p: None},
        TypeError,
        r"^optimizer must return a torch\.optim\.Optimizer; got NoneType$",
    ),
    (
        {"optimizer": torch.optim.LBFGS},
        TypeError,
        r"^optimizer: LBFGS computes the loss several times a step",
    ),
    ({"clip": 1.0}, TypeError, r"^clip must be callable or None; got float$"),
    ({"evaluate": {}}, TypeError, r"^evaluate must be callable or None; got dict$"),
    ({"evaluate": lambda m: 0.5}, TypeError, r"^evaluate must return a dict of floats; got float$"),
    (
        {"evaluate": lambda m: {"a": "b"}},
        TypeError,
        r"^evaluate must return a dict of floats; a: could not conv",
    ),
    (
        {"evaluate": lambda m: {"a": m.weight}},
        TypeError,
        r"^evaluate must return a dict of floats; a: only one element",
    ),
    ({"evaluate": lambda m: {"loss": 1.0}}, ValueError, r"^evaluate must name its entries, .*; got 'loss'$"),
    ({"evaluate": lambda m: {3: 1.0}}, ValueError, r"^evaluate must name its entries, .*; got 3$"),
    ({"stop": 0.1}, TypeError, r"^stop must be callable or None; got float$"),
    ({"steps": 0}, ValueError, r"^steps must be at least 1; got 0$"),
    ({"steps": 2.0}, TypeError, r"^steps must be an integer; got 2\.0$"),
    ({"every": 0}, ValueError, r"^every must be at least 1; got 0$"),
    ({"every": True}, TypeError, r"^every must be an integer; got True$"),
    ({"seed": -1}, ValueError, r"^seed must be at least 0; got -1$"),
    ({"seed": None}, TypeError, r"^seed must be an integer; got None$"),
    (
        {"device": "abacus"},
        ValueError,
        r"^device must be 'auto' or one that PyTorch has here; got 'abacus': ",
    ),
    (
        {"device": "cuda:99"},
        ValueError,
        r"^device must be 'auto' or one that PyTorch has here; got 'cuda:99': ",
    ),
    (
        {"optimizer": lambda _: torch.optim.SGD(model_of().parameters(), lr=0.1)},
        ValueError,
        r"^optimizer must return one over the parameters that it is handed; this one holds none of them$",
    ),
    ({"device": "meta"}, ValueError, r"^device must be 'auto' or one .*; got 'meta': it holds no numbers$"),
    ({"device": 0}, TypeError, r"^device must be a string or a torch\.device; got 0$"),
    ({"checkpoint": 3}, TypeError, r"^checkpoint must be a path or None; got 3$"),
    ({"checkpoint": b"run.pt"}, TypeError, r"^checkpoint must be a path or None; got b'run\.pt'$"),
    ({"progress": "yes"}, TypeError, r"^progress must be True or False; got 'yes'$"),
    (
        {"nonfinite": "return"},
        ValueError,
        r"^nonfinite must be one of 'raise', 'stop', 'continue'; got 'return'$",
    ),
    ({"nonfinite": None}, ValueError, r"^nonfinite must be one of 'raise', .*; got None$"),
]


@pytest.mark.parametrize(("changes", "error", "message"), BAD)
def test_arguments(changes, error, message):
    run()
    with pytest.raises(error, match=message):
        run(**changes)


def test_nothing_is_positional_beyond_the_third():
    with pytest.raises(TypeError, match="positional"):
        fit(model_of(), batch_of, loss_fn, 2, SGD)


@pytest.mark.parametrize(
    "changes", [{"optimizer": None}, {"steps": 0}, {"device": "abacus"}, {"device": "meta"}, {"clip": 1.0}]
)
def test_nothing_has_happened_to_the_model(changes):
    model = model_of()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises((TypeError, ValueError)):
        run(model=model, **changes)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_devices_that_are_none():
    with pytest.raises(ValueError, match="device must be 'auto' or one that PyTorch has here; got 'abacus'"):
        pick_device("abacus")
    with pytest.raises(TypeError, match=r"device must be a string or a torch\.device; got None"):
        pick_device(None)
