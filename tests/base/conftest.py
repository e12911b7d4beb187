"""Something to train, for the tests of training."""

import functools
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import pytest


def _toy(torch):
    class Named(torch.nn.Module):
        """Takes a dict, and has a parameter that no loss depends on, and one that is not trained."""

        def __init__(self):
            super().__init__()
            self.inner, self.unused = torch.nn.Linear(3, 1), torch.nn.Parameter(torch.ones(2))
            self.fixed = torch.nn.Parameter(torch.ones(1), requires_grad=False)

        def forward(self, batch):
            return self.inner(batch["x"]) * self.fixed

    def made(kind=Named, seed=0):
        """Return a model with weights of that seed, the global state untouched."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return kind()

    def batch_of(step):
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
        return {"x": x, "target": x.sum(dim=1, keepdim=True)}

    def loss_fn(model, batch):
        return torch.nn.functional.mse_loss(model(batch), batch["target"])

    sgd = functools.partial(torch.optim.SGD, lr=1e-2)
    clip = functools.partial(torch.nn.utils.clip_grad_norm_, max_norm=0.5)

    def run(**changes):
        """Train it, some arguments exchanged."""
        from vglib.base.training import fit

        usual = {"model": made(), "batch_of": batch_of, "loss_fn": loss_fn}
        usual |= {"steps": 10, "optimizer": sgd, "device": "cpu", **changes}
        return fit(usual.pop("model"), usual.pop("batch_of"), usual.pop("loss_fn"), **usual)

    return SimpleNamespace(made=made, batch_of=batch_of, loss_fn=loss_fn, sgd=sgd, clip=clip, run=run)


@pytest.fixture(scope="session")
def toy(torch):
    """Return a model, its batches and loss, and a function that trains it on one thread."""
    return _toy(torch)


def _devices():
    """Return the kinds of device there are."""
    try:
        import torch
    except ImportError:
        return ["cpu"]
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(params=_devices())
def device(request):
    """Each device there is."""
    return request.param


@pytest.fixture(scope="session")
def resumable(torch):
    """Return the module `resumable`: a run, with all that a checkpoint has to hold."""
    spec = spec_from_file_location("resumable", Path(__file__).with_name("resumable.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def undisturbed(resumable):
    """History and weights of that run without a checkpoint."""
    return resumable.run()


@pytest.fixture
def path(tmp_path):
    """Return the path of a checkpoint, in a folder that is not there yet."""
    return tmp_path / "made" / "run.pt"
