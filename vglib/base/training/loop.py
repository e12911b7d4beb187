"""The training loop behind `fit`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..arrays import random_stream
from ..errors import NonFiniteError
from . import pick_device
from .batches import move
from .checkpoint import Checkpoint, fingerprint
from .history import History
from .record import Recorder
from .surroundings import between_steps, evaluating, get_random, seeded, set_random

__all__ = ["Run"]

log = logging.getLogger("vglib")

# The most steps whose numbers wait on the device, however long a window is.
LONGEST = 1000


class Run:
    """One call of `fit`; the arguments are its own, checked as far as that needs no torch."""

    def __init__(self, *, model: Any, optimizer: Any, device: Any, checkpoint: Any, **arguments: Any) -> None:
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"model must be a torch.nn.Module; got {type(model).__name__}")
        self.__dict__.update(arguments)
        self.model, self.make_optimizer, self.path = model, optimizer, checkpoint
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        if not trained:
            raise ValueError(f"model has no parameters to train; got {type(model).__name__}")
        self.device = pick_device(device)
        narrow = self.device.type == "mps" and any(p.dtype.itemsize > 4 for _, p in trained)
        self.device = torch.device("cpu") if narrow and device == "auto" else self.device
        model.to(self.device)
        # Only now: moving may make new ones.
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.names, self.parameters = [name for name, _ in trained], [p for _, p in trained]
        self.recorder = Recorder(self.names, self.parameters, self.device)
        self.step = 0
        self.arrays = {
            "loss": np.empty(self.steps),
            "grad_norm": np.empty(self.steps),
            "clipped": np.empty(self.steps, dtype=bool),
        }
        self.evaluations: list[dict[str, Any]] = []
        self.stopped_at: int | None = None
        self.nonfinite_at: int | None = None

    def run(self) -> History:
        """Train to the end."""
        own_seed = int(random_stream(self.seed, "training").integers(2**63))
        was_training = self.model.training
        if not was_training:
            self.model.train()
        try:
            with seeded(self.device, own_seed):
                self._prepare()
                with between_steps(self.file is not None) as interrupt, self._bar() as bar:
                    while self.step < self.steps and self.stopped_at is None:
                        self._train_step()
                        bar.update()
                        if self.step % self.every == 0 or self.step == self.steps:
                            self._end_window(bar)
                        elif len(self.recorder) >= LONGEST:
                            self._gather()
                        if interrupt.pressed:
                            self._leave()
        finally:
            if not was_training:
                self.model.eval()
        return self._history()

    def _prepare(self) -> None:
        self.optimizer = self.make_optimizer(self.parameters)
        if not isinstance(self.optimizer, torch.optim.Optimizer):
            raise TypeError(
                f"optimizer must return a torch.optim.Optimizer; got {type(self.optimizer).__name__}"
            )
        if isinstance(self.optimizer, torch.optim.LBFGS):
            raise TypeError("optimizer: LBFGS evaluates the loss several times a step, which fit does not do")
        self.file = None
        if self.path is not None:
            random = get_random(self.device)
            settings = fingerprint(self, self.batch_of(0))
            set_random(self.device, random)
            self.file = Checkpoint(Path(self.path), settings)
            stored = self.file.read(self.model)
            if stored is None:
                self.file.write(self._state(), first=True)
            else:
                self._restore(stored)

    def _train_step(self) -> None:
        batch = move(self.batch_of(self.step), self.device)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_fn(self.model, batch)
        _check_loss(loss)
        loss.backward()
        self.recorder.gradients()
        self.recorder.loss(loss)
        if self.clip is not None:
            self.clip(self.parameters)
            self.recorder.clipped_gradients()
        self.optimizer.step()
        self.step += 1

    # -- the end of a window -------------------------------------------------------------------------------

    def _gather(self) -> None:
        """Fetch what the device holds, and act on what is not finite."""
        window = self.recorder.take()
        start = self.step - len(window.loss)
        for name, array in self.arrays.items():
            array[start : self.step] = getattr(window, name)
        if window.repaired and (not window.fault or window.repaired[0] < window.fault[0]):
            offset, what = window.repaired
            log.warning("step %d: %s was not finite; the clip made it so", start + offset, what)
        if window.fault:
            self._meet(start + window.fault[0], window.fault[1])

    def _meet(self, step: int, what: str) -> None:
        """Do as `nonfinite` says about the first number that is not finite."""
        if self.nonfinite_at is None:
            self.nonfinite_at = step
            log.info("step %d: %s is not finite", step, what)
        if self.nonfinite == "raise":
            raise NonFiniteError(
                what,
                step,
                f"batch_of({step}) is the batch. A lower learning rate or clipping helps if it grew; "
                "nonfinite='stop' returns what was recorded.",
            )
        if self.nonfinite == "stop":
            self.stopped_at = self.step

    def _end_window(self, bar: Any) -> None:
        self._gather()
        if self.nonfinite_at is None:
            self._check_parameters()
        if self.stopped_at is None:
            self._report(bar)
        if self.file is not None and (
            self.step == self.steps or self.stopped_at is not None or self.file.is_due()
        ):
            self.file.write(self._state())

    def _check_parameters(self) -> None:
        """Look at the weights, which an update from finite gradients can still make infinite."""
        good = torch.stack([torch.isfinite(p.detach()).all() for p in self.parameters]).tolist()
        if not all(good):
            self._meet(self.step - 1, f"the parameter {self.names[good.index(False)]} after the update")

    def _report(self, bar: Any) -> None:
        """Evaluate, tell, and ask whether to stop."""
        start = (self.step - 1) // self.every * self.every
        evaluation = {"step": self.step, "loss": float(self.arrays["loss"][start : self.step].mean())}
        norm = float(self.arrays["grad_norm"][self.step - 1])
        evaluation |= self._evaluate()
        self.evaluations.append(evaluation)
        bar.set_postfix_str(f"loss {evaluation['loss']:.4g}, gradient {norm:.3g}", refresh=False)
        log.info("step %d: loss %.4g, gradient norm %.3g", self.step, evaluation["loss"], norm)
        if self.stop is not None and self.stop(dict(evaluation)):
            self.stopped_at = self.step

    def _evaluate(self) -> dict[str, float]:
        if self.evaluate is None:
            return {}
        own_seed = int(random_stream(self.seed, "training.evaluate").integers(2**63))
        with evaluating(self.model), seeded(self.device, own_seed):
            found = self.evaluate(self.model)
        if not isinstance(found, Mapping):
            raise TypeError(f"evaluate must return a dict of floats; got {type(found).__name__}")
        try:
            numbers = {str(name): float(value) for name, value in found.items()}
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"evaluate must return a dict of floats: {error}") from None
        if taken := numbers.keys() & {"step", "loss"}:
            raise ValueError(f"evaluate: {', '.join(sorted(taken))} is fit's own entry; use another name")
        return numbers

    def _leave(self) -> None:
        """End on Ctrl-C, with all that is done in the checkpoint."""
        with contextlib.suppress(NonFiniteError):
            self._gather()
            self.file.write(self._state())
            log.warning("interrupted after step %d; %s has all of it", self.step, self.file.path)
        raise KeyboardInterrupt

    # -- state ---------------------------------------------------------------------------------------------

    def _state(self) -> dict[str, Any]:
        """Return all that the rest of the run depends on."""
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": get_random(self.device),
            "evaluations": self.evaluations,
            "stopped_at": self.stopped_at,
            "nonfinite_at": self.nonfinite_at,
        }
        for name, array in self.arrays.items():
            state[name] = torch.from_numpy(array[: self.step].copy())
        if hasattr(self.clip, "state_dict"):
            state["clip"] = self.clip.state_dict()
        return state

    def _restore(self, state: dict[str, Any]) -> None:
        if state["step"] > self.steps:
            raise ValueError(
                f"steps must be at least the {state['step']} that {self.path} already holds; got {self.steps}"
            )
        self.step, self.stopped_at = state["step"], state["stopped_at"]
        self.nonfinite_at = state["nonfinite_at"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if "clip" in state:
            self.clip.load_state_dict(state["clip"])
        for name, array in self.arrays.items():
            array[: self.step] = state[name].numpy()
        # A shorter run ended here in the middle of a window.
        going_on = self.step < self.steps and self.stopped_at is None
        self.evaluations = [e for e in state["evaluations"] if not going_on or e["step"] % self.every == 0]
        set_random(self.device, state["random"])
        log.info("going on after step %d, from %s", self.step, self.path)

    def _history(self) -> History:
        arrays = {name: array[: self.step] for name, array in self.arrays.items()}
        return History(
            **arrays, evaluations=self.evaluations, stopped_at=self.stopped_at, nonfinite_at=self.nonfinite_at
        )

    def _bar(self) -> Any:
        """Return a progress bar; a silent one where tqdm is not installed."""
        try:
            from tqdm import tqdm
        except ImportError:
            return _NoBar()
        # None: silent unless it is a terminal.
        return tqdm(total=self.steps, initial=self.step, unit="step", disable=None if self.progress else True)


class _NoBar(contextlib.nullcontext):
    def __enter__(self) -> _NoBar:
        return self

    def update(self) -> None:
        """Show nothing."""

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        """Show nothing."""


def _check_loss(loss: Any) -> None:
    if not isinstance(loss, torch.Tensor):
        raise TypeError(f"loss_fn must return a scalar tensor; got {type(loss).__name__}")
    if loss.ndim:
        raise ValueError(f"loss_fn must return a scalar tensor; got shape {tuple(loss.shape)}")
    if not loss.requires_grad:
        raise ValueError("loss_fn: its result depends on no parameter of the model that is trained")
