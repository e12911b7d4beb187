"""Training against a loop written by hand, and what it records, seeds, moves and leaves alone."""

import contextlib
import dataclasses
import functools
import logging
import sys
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest

from vglib.base.training import History, fit, pick_device

torch = pytest.importorskip("torch")
functional = torch.nn.functional


@pytest.fixture(autouse=True)
def _one_thread(torch):
    """Bits depend on the number of threads."""


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request):
    return request.param


class Reader(torch.nn.Module):
    """An RNN that is read at its end."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.rnn, self.drop, self.out = torch.nn.RNN(3, 8), torch.nn.Dropout(dropout), torch.nn.Linear(8, 1)

    def forward(self, x):
        return self.out(self.drop(self.rnn(x)[0][-1]))


class Named(torch.nn.Module):
    """Takes a dict, and has a parameter that no loss depends on, and one that is not trained."""

    def __init__(self):
        super().__init__()
        self.inner, self.unused = torch.nn.Linear(3, 1), torch.nn.Parameter(torch.ones(2))
        self.fixed = torch.nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, batch):
        return self.inner(batch["x"]) * self.fixed


def made(kind, seed=0, **options):
    """Return a model with weights of that seed, the global state untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(**options)


def mlp():
    layers = torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1)
    return torch.nn.Sequential(*layers)


def numbers(step, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(step))


def sequences(step):
    x = numbers(step, 6, 4, 3)
    return x, x.sum(dim=(0, 2))[:, None]


def flat(step):
    x = numbers(step, 4, 3)
    return {"x": x, "target": x.sum(dim=1, keepdim=True)}


def loss_of_pair(model, batch):
    x, target = batch
    return functional.mse_loss(model(x), target)


def loss_of_dict(model, batch):
    return functional.mse_loss(model(batch), batch["target"])


KINDS = {
    "RNN": (lambda: made(Reader), sequences, loss_of_pair),
    "MLP with dropout": (lambda: made(mlp), lambda s: tuple(flat(s).values()), loss_of_pair),
    "dict, unused and fixed parameters": (lambda: made(Named), flat, loss_of_dict),
}
ADAM = functools.partial(torch.optim.Adam, lr=1e-2)
SGD = functools.partial(torch.optim.SGD, lr=1e-2)
CLIPS = {"none": None, "by norm": functools.partial(torch.nn.utils.clip_grad_norm_, max_norm=0.5)}
SMALL = {
    "model": None,
    "batch_of": flat,
    "loss_fn": loss_of_dict,
    "steps": 10,
    "optimizer": SGD,
    "device": "cpu",
}


def small(**changes):
    """Run a small example with some arguments exchanged."""
    arguments = {**SMALL, "model": made(Named), **changes}
    return fit(arguments.pop("model"), arguments.pop("batch_of"), arguments.pop("loss_fn"), **arguments)


def own_seed():
    """Return what seeds torch in a run of seed 0."""
    from vglib.base.arrays import random_stream

    return int(random_stream(0, "training").integers(2**63))


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("kind", KINDS)
def test_against_a_loop_by_hand(kind, clip, device):
    make, batch_of, loss_fn = KINDS[kind]
    clip, ours, hers = CLIPS[clip], make(), make().to(device)
    history = fit(
        ours, batch_of, loss_fn, steps=25, optimizer=ADAM, clip=clip, every=10, device=device, progress=False
    )
    optimizer = ADAM(hers.parameters())
    losses, norms = [], []
    with torch.random.fork_rng():
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


def test_what_a_history_is():
    history = small(clip=CLIPS["by norm"])
    assert [array.dtype.kind for array in (history.loss, history.grad_norm, history.clipped)] == list("ffb")
    assert {array.shape for array in (history.loss, history.grad_norm, history.clipped)} == {(10,)}
    text = rf"History\(10 steps, loss \S+ → \S+, {history.clipped.sum()} clipped, 1 evaluations\)"
    assert pytest.importorskip("re").fullmatch(text, repr(history))
    with pytest.raises(dataclasses.FrozenInstanceError):
        history.loss = None
    empty = History(np.empty(0), np.empty(0), np.empty(0, dtype=bool), [], stopped_at=3, nonfinite_at=2)
    assert repr(empty) == "History(0 steps, 0 clipped, 0 evaluations, stopped at 3, not finite at 2)"


def test_the_same_call_gives_the_same_numbers_whatever_surrounds_it(device):
    def run(**changes):
        make, batch_of, loss_fn = KINDS["MLP with dropout"]
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


def test_global_random_state_stays(device):
    states = [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if device == "cuda" else [])]
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    make, batch_of, loss_fn = KINDS["MLP with dropout"]
    fit(make(), batch_of, loss_fn, steps=3, optimizer=ADAM, device=device)
    with pytest.raises(ZeroDivisionError):
        fit(make(), lambda step: 1 / 0, loss_fn, steps=3, optimizer=ADAM, device=device)
    after = [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if device == "cuda" else [])]
    assert all(torch.equal(a, b) for a, b in zip(states, after, strict=True))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_evaluation_is_without_gradients_and_modes_come_back():
    model = made(mlp)
    model[2].eval()  # a part that its owner keeps out of training
    seen = []

    def evaluate(model):
        seen.append((torch.is_grad_enabled(), [part.training for part in model.modules()]))
        return {"weight": model[0].weight.sum(), "count": 1, "array": np.float32(0.5)}

    history = small(
        model=model,
        loss_fn=lambda m, b: functional.mse_loss(m(b["x"]), b["target"]),
        evaluate=evaluate,
        every=5,
    )
    assert seen == [(False, [False] * 5)] * 2
    assert [part.training for part in model] == [True, True, False, True]
    assert model.training
    entry = history.evaluations[-1]
    assert entry == {
        "step": 10,
        "loss": entry["loss"],
        "weight": model[0].weight.sum().item(),
        "count": 1.0,
        "array": 0.5,
    }
    assert all(type(value) in (int, float) for value in entry.values())


def test_a_model_in_evaluation_mode_is_trained_in_training_mode():
    modes = []
    model = made(Named).eval()
    small(model=model, loss_fn=lambda m, b: modes.append(m.training) or loss_of_dict(m, b))
    assert modes == [True] * 10
    assert not model.training


def test_modes_come_back_after_a_failure():
    model = made(Named)
    with pytest.raises(ZeroDivisionError):
        small(model=model, evaluate=lambda model: 1 / 0)
    assert all(part.training for part in model.modules())


def test_stop():
    asked = []

    def stop(evaluation):
        asked.append(evaluation)
        return evaluation["twice"] == 12.0

    counts = iter(range(1, 100))
    history = small(steps=50, every=3, stop=stop, evaluate=lambda model: {"twice": 6 * next(counts)})
    assert history.stopped_at == 6
    assert len(history.loss) == 6
    assert asked == history.evaluations
    assert asked[1].keys() == {"step", "loss", "twice"}
    assert "stopped at 6" in repr(history)


@pytest.mark.parametrize("wrap", ["tuple", "list", "named", "dict", "dataclass", "nested", "packed", "numpy"])
def test_batches_of_any_kind(wrap, device):
    Pair = namedtuple("Pair", "x target note")

    @dataclasses.dataclass(frozen=True)
    class Task:
        x: object
        target: object
        note: str = "kept"
        size: int = dataclasses.field(default=0, init=False)

        def __post_init__(self):
            object.__setattr__(self, "size", self.size + len(self.x))

    def batch_of(step):
        x, target = flat(step).values()
        strange = np.ascontiguousarray(x.numpy()[::-1])[::-1]
        strange.flags.writeable = False
        return {
            "tuple": (x, target),
            "list": [x, target],
            "named": Pair(x, target, "kept"),
            "dict": {"x": x, "target": target, "none": None},
            "dataclass": Task(x, target),
            "nested": {"x": [(x,)], "rest": {"target": target, "number": 3}},
            "packed": (torch.nn.utils.rnn.pack_sequence([x, x[:2]]), target),
            "numpy": (strange, np.asarray(target)),
        }[wrap]

    def loss_fn(model, batch):
        kind = {"named": Pair, "dataclass": Task, "tuple": tuple, "list": list}.get(wrap, object)
        assert isinstance(batch, kind)
        if wrap in ("named", "dataclass"):
            assert batch.note == "kept"
            x, target = batch.x, batch.target
            assert getattr(batch, "size", 4) == 4  # the checks of a dataclass do not run again
        elif wrap == "nested":
            assert batch["rest"]["number"] == 3
            x, target = batch["x"][0][0], batch["rest"]["target"]
        elif wrap == "packed":
            x, target = torch.nn.utils.rnn.pad_packed_sequence(batch[0])[0][:, 0], batch[1]
        else:
            x, target = (batch["x"], batch["target"]) if wrap == "dict" else batch
        assert {type(x), type(target)} == {torch.Tensor}
        assert x.device.type == target.device.type == device
        return functional.mse_loss(model({"x": x}), target)

    assert (
        small(batch_of=batch_of, loss_fn=loss_fn, device=device).loss.tolist()
        == small(device=device).loss.tolist()
    )


def test_a_sparse_gradient_and_a_complex_one():
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.words = torch.nn.Embedding(5, 2, sparse=True)
            self.turn = torch.nn.Parameter(torch.tensor([1 + 1j, 2 - 1j]))

        def forward(self, i):
            return (self.words(i) * self.turn).abs().square().sum()

    model, twin = made(Odd), made(Odd)
    word = torch.tensor([1, 1, 4])
    history = fit(model, lambda step: word, lambda m, b: m(b), steps=2, optimizer=SGD, device="cpu")
    twin(word).backward()
    gradients = twin.words.weight.grad.to_dense(), torch.view_as_real(twin.turn.grad)
    expected = np.sqrt(sum(float(g.double().square().sum()) for g in gradients))
    assert history.grad_norm[0] == pytest.approx(expected, rel=1e-6)


def test_any_clip_is_seen(device):
    def by_value(parameters):
        torch.nn.utils.clip_grad_value_([p for p in parameters if p.grad is not None], 0.05)

    def grows(parameters):
        for p in parameters:
            p.grad = None if p.grad is None else p.grad * 2

    plain = small(device=device)
    clipped = small(device=device, clip=by_value)
    assert clipped.grad_norm[0] == plain.grad_norm[0]  # before clipping
    assert clipped.clipped.all()
    assert not small(device=device, clip=grows).clipped.any()
    assert not small(device=device, clip=lambda parameters: None).clipped.any()


def test_norms_beyond_the_square_root_of_float32():
    big = small(
        loss_fn=lambda m, b: loss_of_dict(m, b) * 1e30, optimizer=functools.partial(torch.optim.SGD, lr=0.0)
    )
    plain = small(optimizer=functools.partial(torch.optim.SGD, lr=0.0))
    np.testing.assert_allclose(big.grad_norm, plain.grad_norm * 1e30, rtol=1e-6)


def test_the_host_waits_once_a_window():
    """Nothing may ask for a number, or copy to the host, but the end of a window and the evaluation."""
    from torch.utils._python_dispatch import TorchDispatchMode

    calls = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            name = function.overloadpacket.__name__
            if name in ("_local_scalar_dense", "item", "nonzero", "is_nonzero", "equal"):
                calls.append((name, "backward" if torch._C._current_autograd_node() else ""))
            return function(*args, **(kwargs or {}))

    counts = {}
    for steps in (40, 80):
        calls.clear()
        with Watch():
            small(steps=steps, every=40, clip=CLIPS["by norm"])
        counts[steps] = len(calls)
    assert counts[80] <= 2 * counts[40] <= 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_never_waits_within_a_window():
    model = made(Named)
    batches = [{name: part.cuda() for name, part in flat(step).items()} for step in range(10)]

    def batch_of(step):
        torch.cuda.set_sync_debug_mode("error" if step % 5 < 4 else "default")
        return batches[step]

    try:
        small(model=model, batch_of=batch_of, device="cuda", every=5)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_long_windows_are_looked_at_in_between(monkeypatch):
    from vglib.base.training import loop

    monkeypatch.setattr(loop, "LONGEST", 7)
    history = small(steps=40, every=20)
    assert history.loss.tolist() == small(steps=40).loss.tolist()
    assert [entry["step"] for entry in history.evaluations] == [20, 40]
    stopped = small(steps=40, every=20, batch_of=spoilt(3), nonfinite="stop")
    assert (stopped.stopped_at, stopped.nonfinite_at, stopped.evaluations) == (7, 3, [])


def spoilt(*steps, value=float("nan")):
    """Return batches that are spoilt at some steps."""

    def batch_of(step):
        batch = flat(step)
        if step in steps:
            batch["target"][0] = value
        return batch

    return batch_of


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite(value, device):
    run = functools.partial(small, steps=30, every=10, batch_of=spoilt(13, value=value), device=device)
    with pytest.raises(
        ValueError, match=r"^the loss is not finite .* first at step 13; .*batch_of\(13\)"
    ) as raised:
        run()
    assert (raised.value.tensor, raised.value.step) == ("the loss", 13)
    stopped = run(nonfinite="stop")
    assert (stopped.nonfinite_at, stopped.stopped_at, len(stopped.loss)) == (13, 20, 20)
    assert not np.isfinite(stopped.loss[13:]).any()
    assert np.isfinite(stopped.loss[:13]).all()
    assert [entry["step"] for entry in stopped.evaluations] == [10]
    going_on = run(nonfinite="continue")
    assert (going_on.nonfinite_at, going_on.stopped_at, len(going_on.loss)) == (13, None, 30)


def test_a_gradient_that_is_not_finite():
    def root(model, batch):  # √0 has the value 0 and an infinite slope
        zero = (model.inner.weight * 0.0).sum() if batch["x"][0, 0] == 7.0 else torch.ones(())
        return loss_of_dict(model, batch) + zero.sqrt()

    def batch_of(step):
        batch = flat(step)
        batch["x"][0, 0] = 7.0 if step == 4 else 0.0
        return batch

    with pytest.raises(ValueError, match=r"^the gradient of inner\.weight is not finite .* at step 4;"):
        small(loss_fn=root, batch_of=batch_of)
    zeroed = functools.partial(small, loss_fn=root, batch_of=batch_of, clip=zero_what_is_not_finite)
    history = zeroed()
    assert history.clipped.tolist() == [step == 4 for step in range(10)]
    assert not np.isfinite(history.grad_norm[4])
    assert np.isfinite(np.delete(history.grad_norm, 4)).all()
    assert np.isfinite(history.loss).all()
    assert history.nonfinite_at is None


def test_a_repaired_gradient_is_logged(caplog):
    def root(model, batch):
        return (model.inner.weight * 0.0).sum().sqrt() + model.inner.bias.sum()

    with caplog.at_level(logging.INFO, logger="vglib"):
        small(loss_fn=root, clip=zero_what_is_not_finite, every=5)
    texts = [record.getMessage() for record in caplog.records]
    assert "step 0: the gradient of inner.weight was not finite before the clip" in texts
    assert any(text.startswith("step 10: loss ") for text in texts)


def zero_what_is_not_finite(parameters):
    for p in parameters:
        if p.grad is not None:
            p.grad.nan_to_num_(0.0, 0.0, 0.0)


def test_many_gradients_are_counted_in_the_message():
    def both(model, batch):
        return (model.inner.weight * 0.0).sum().sqrt() + (model.inner.bias * 0.0).sum().sqrt()

    with pytest.raises(ValueError, match=r"^the gradient of inner\.weight and of 1 more parameters? is not"):
        small(loss_fn=both)


def test_weights_that_an_update_made_infinite():
    with pytest.raises(ValueError, match=r"^the parameter inner\.\w+ after the update is not .* at step 0;"):
        small(
            steps=1,
            optimizer=functools.partial(torch.optim.SGD, lr=1e38),
            loss_fn=lambda m, b: loss_of_dict(m, b) * 1e4,
        )


def test_a_failure_says_at_which_step():
    def batch_of(step):
        return flat(step) if step < 6 else {}["nothing"]

    with pytest.raises(KeyError) as raised:
        small(batch_of=batch_of)
    assert raised.value.__notes__ == ["This was step 6 of fit, on batch_of(6)."]


def test_silence_and_the_bar(capfd, monkeypatch):
    small()
    assert capfd.readouterr() == ("", "")
    updates = []

    class Fake(contextlib.nullcontext):
        def __init__(self, **options):
            super().__init__(self)
            updates.append(options["disable"])

        def update(self):
            updates.append(1)

        def set_postfix_str(self, text, refresh):
            updates.append(text)

    monkeypatch.setitem(sys.modules, "tqdm", SimpleNamespace(tqdm=Fake))
    history = small(steps=4, every=2)
    assert updates[:3] == [None, 1, 1]
    assert (
        updates[3] == f"loss {history.evaluations[0]['loss']:.4g}, gradient norm {history.grad_norm[1]:.3g}"
    )
    assert len(updates) == 7
    updates.clear()
    small(progress=False)
    assert updates[0] is True
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert len(small().loss) == 10


def test_devices(monkeypatch):
    found = pick_device()
    assert found.type == ("cuda" if torch.cuda.is_available() else found.type)
    assert pick_device("cpu") == pick_device(torch.device("cpu")) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device().type == "mps"
    # MPS has no float64, so that 'auto' cannot mean it for such a model.
    history = small(
        model=made(Named).double(),
        device="auto",
        batch_of=lambda s: {k: v.double() for k, v in flat(s).items()},
    )
    assert len(history.loss) == 10
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device() == torch.device("cpu")
