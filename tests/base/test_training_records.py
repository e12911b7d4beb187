"""What training records: norms, clipping, what is not finite; and that it waits for nothing meanwhile."""

import functools
import logging

import numpy as np
import pytest

from vglib.base.training import fit

torch = pytest.importorskip("torch")


def test_a_sparse_gradient_and_a_complex_one(toy):
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.words = torch.nn.Embedding(5, 2, sparse=True)
            self.turn = torch.nn.Parameter(torch.tensor([1 + 1j, 2 - 1j]))

        def forward(self, i):
            return (self.words(i) * self.turn).abs().square().sum()

    model, twin = toy.made(Odd), toy.made(Odd)
    word = torch.tensor([1, 1, 4])
    history = fit(model, lambda step: word, lambda m, b: m(b), steps=2, optimizer=toy.sgd, device="cpu")
    twin(word).backward()
    gradients = twin.words.weight.grad.to_dense(), torch.view_as_real(twin.turn.grad)
    expected = np.sqrt(sum(float(g.double().square().sum()) for g in gradients))
    assert history.grad_norm[0] == pytest.approx(expected, rel=1e-6)


def test_any_clip_is_seen(toy, device):
    def by_value(parameters):
        torch.nn.utils.clip_grad_value_([p for p in parameters if p.grad is not None], 0.05)

    def grows(parameters):
        for p in parameters:
            p.grad = None if p.grad is None else p.grad * 2

    plain = toy.run(device=device)
    clipped = toy.run(device=device, clip=by_value)
    assert clipped.grad_norm[0] == plain.grad_norm[0]  # before clipping
    assert clipped.clipped.all()
    assert not toy.run(device=device, clip=grows).clipped.any()
    assert not toy.run(device=device, clip=lambda parameters: None).clipped.any()


def test_norms_beyond_the_square_root_of_float32(toy):
    big = toy.run(
        loss_fn=lambda m, b: toy.loss_fn(m, b) * 1e30, optimizer=functools.partial(torch.optim.SGD, lr=0.0)
    )
    plain = toy.run(optimizer=functools.partial(torch.optim.SGD, lr=0.0))
    np.testing.assert_allclose(big.grad_norm, plain.grad_norm * 1e30, rtol=1e-6)


def test_the_host_waits_once_a_window(toy):
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
            toy.run(steps=steps, every=40, clip=toy.clip)
        counts[steps] = len(calls)
    assert counts[80] <= 2 * counts[40] <= 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_never_waits_within_a_window(toy):
    model = toy.made()
    batches = [{name: part.cuda() for name, part in toy.batch_of(step).items()} for step in range(10)]

    def batch_of(step):
        torch.cuda.set_sync_debug_mode("error" if step % 5 < 4 else "default")
        return batches[step]

    try:
        toy.run(model=model, batch_of=batch_of, device="cuda", every=5)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_long_windows_are_looked_at_in_between(toy, monkeypatch):
    from vglib.base.training import loop

    monkeypatch.setattr(loop, "LONGEST", 7)
    history = toy.run(steps=40, every=20)
    assert history.loss.tolist() == toy.run(steps=40).loss.tolist()
    assert [entry["step"] for entry in history.evaluations] == [20, 40]
    stopped = toy.run(steps=40, every=20, batch_of=spoilt(toy, 3), nonfinite="stop")
    assert (stopped.stopped_at, stopped.nonfinite_at, stopped.evaluations) == (7, 3, [])


def spoilt(toy, *steps, value=float("nan")):
    """Return batches that are spoilt at some steps."""

    def batch_of(step):
        batch = toy.batch_of(step)
        if step in steps:
            batch["target"][0] = value
        return batch

    return batch_of


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite(toy, value, device):
    run = functools.partial(toy.run, steps=30, every=10, batch_of=spoilt(toy, 13, value=value), device=device)
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


def test_a_gradient_that_is_not_finite(toy):
    def root(model, batch):  # √0 has the value 0 and an infinite slope
        zero = (model.inner.weight * 0.0).sum() if batch["x"][0, 0] == 7.0 else torch.ones(())
        return toy.loss_fn(model, batch) + zero.sqrt()

    def batch_of(step):
        batch = toy.batch_of(step)
        batch["x"][0, 0] = 7.0 if step == 4 else 0.0
        return batch

    with pytest.raises(ValueError, match=r"^the gradient of inner\.weight is not finite .* at step 4;"):
        toy.run(loss_fn=root, batch_of=batch_of)
    zeroed = functools.partial(toy.run, loss_fn=root, batch_of=batch_of, clip=zero_what_is_not_finite)
    history = zeroed()
    assert history.clipped.tolist() == [step == 4 for step in range(10)]
    assert not np.isfinite(history.grad_norm[4])
    assert np.isfinite(np.delete(history.grad_norm, 4)).all()
    assert np.isfinite(history.loss).all()
    assert history.nonfinite_at is None


def test_a_repaired_gradient_is_logged(toy, caplog):
    def root(model, batch):
        return (model.inner.weight * 0.0).sum().sqrt() + model.inner.bias.sum()

    with caplog.at_level(logging.INFO, logger="vglib"):
        toy.run(loss_fn=root, clip=zero_what_is_not_finite, every=5)
    texts = [record.getMessage() for record in caplog.records]
    assert "step 0: the gradient of inner.weight was not finite before the clip" in texts
    assert any(text.startswith("step 10: loss ") for text in texts)


def zero_what_is_not_finite(parameters):
    for p in parameters:
        if p.grad is not None:
            p.grad.nan_to_num_(0.0, 0.0, 0.0)


def test_many_gradients_are_counted_in_the_message(toy):
    def both(model, batch):
        return (model.inner.weight * 0.0).sum().sqrt() + (model.inner.bias * 0.0).sum().sqrt()

    with pytest.raises(ValueError, match=r"^the gradient of inner\.weight and of 1 more parameters? is not"):
        toy.run(loss_fn=both)


def test_weights_that_an_update_made_infinite(toy):
    with pytest.raises(ValueError, match=r"^the parameter inner\.\w+ after the update is not .* at step 0;"):
        toy.run(
            steps=1,
            optimizer=functools.partial(torch.optim.SGD, lr=1e38),
            loss_fn=lambda m, b: toy.loss_fn(m, b) * 1e4,
        )


def test_a_failure_says_at_which_step(toy):
    def batch_of(step):
        return toy.batch_of(step) if step < 6 else {}["nothing"]

    with pytest.raises(KeyError) as raised:
        toy.run(batch_of=batch_of)
    assert raised.value.__notes__ == ["This was step 6 of fit, on batch_of(6)."]
