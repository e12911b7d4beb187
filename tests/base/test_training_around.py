"""Around the training loop: evaluation, stopping, batches of any kind, the bar, devices."""

import contextlib
import dataclasses
import sys
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest

from vglib.base.training import pick_device

torch = pytest.importorskip("torch")
functional = torch.nn.functional


def mlp():
    layers = torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1)
    return torch.nn.Sequential(*layers)


def test_evaluation_is_without_gradients_and_modes_come_back(toy):
    model = toy.made(mlp)
    model[2].eval()  # a part that its owner keeps out of training
    seen = []

    def evaluate(model):
        seen.append((torch.is_grad_enabled(), [part.training for part in model.modules()]))
        return {"weight": model[0].weight.sum(), "count": 1, "array": np.float32(0.5)}

    history = toy.run(
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


def test_a_model_in_evaluation_mode_is_trained_in_training_mode(toy):
    modes = []
    model = toy.made().eval()
    toy.run(model=model, loss_fn=lambda m, b: modes.append(m.training) or toy.loss_fn(m, b))
    assert modes == [True] * 10
    assert not model.training


def test_gradients_are_switched_on_for_the_run(toy):
    expected = toy.run().loss
    with torch.no_grad():
        assert toy.run().loss.tolist() == expected.tolist()
        assert not torch.is_grad_enabled()


def test_modes_come_back_after_a_failure(toy):
    model = toy.made()
    with pytest.raises(ZeroDivisionError):
        toy.run(model=model, evaluate=lambda model: 1 / 0)
    assert all(part.training for part in model.modules())


def test_stop(toy):
    asked = []

    def stop(evaluation):
        asked.append(evaluation)
        return evaluation["twice"] == 12.0

    counts = iter(range(1, 100))
    history = toy.run(steps=50, every=3, stop=stop, evaluate=lambda model: {"twice": 6 * next(counts)})
    assert history.stopped_at == 6
    assert len(history.loss) == 6
    assert asked == history.evaluations
    assert asked[1].keys() == {"step", "loss", "twice"}
    assert "stopped at 6" in repr(history)


@pytest.mark.parametrize("wrap", ["tuple", "list", "named", "dict", "dataclass", "nested", "packed", "numpy"])
def test_batches_of_any_kind(toy, wrap, device):
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
        x, target = toy.batch_of(step).values()
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
        toy.run(batch_of=batch_of, loss_fn=loss_fn, device=device).loss.tolist()
        == toy.run(device=device).loss.tolist()
    )


def test_silence_and_the_bar(toy, capfd, monkeypatch):
    toy.run()
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
    history = toy.run(steps=4, every=2)
    assert updates[:3] == [None, 1, 1]
    assert (
        updates[3] == f"loss {history.evaluations[0]['loss']:.4g}, gradient norm {history.grad_norm[1]:.3g}"
    )
    assert len(updates) == 7
    updates.clear()
    toy.run(progress=False)
    assert updates[0] is True
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert len(toy.run().loss) == 10


def test_devices(toy, monkeypatch):
    found = pick_device()
    assert found.type == ("cuda" if torch.cuda.is_available() else found.type)
    assert pick_device("cpu") == pick_device(torch.device("cpu")) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device().type == "mps"
    # MPS has no float64, so that 'auto' cannot mean it for such a model.
    history = toy.run(
        model=toy.made().double(),
        device="auto",
        batch_of=lambda s: {k: v.double() for k, v in toy.batch_of(s).items()},
    )
    assert len(history.loss) == 10
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device() == torch.device("cpu")
