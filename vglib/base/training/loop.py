"""The training loop behind `fit`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..arrays import random_stream
from ..errors import NonFiniteError
from . import pick_device, state
from .batches import move
from .checkpoint import Checkpoint, fingerprint
from .evaluation import call, mode
from .history import History
from .progress import bar
from .record import Recorder, check_loss
from .surroundings import between_steps, get_random, seeded, set_random

__all__ = ["Run"]

log = logging.getLogger("vglib")

# The most steps whose numbers wait on the device, however long a window is.
LONGEST = 1000


@dataclass(eq=False, repr=False, kw_only=True)
class Run:
    """One call of `fit`: its arguments, and how far it has come."""

    model: Any
    batch_of: Callable[[int], Any]
    loss_fn: Callable[[Any, Any], Any]
    steps: int
    optimizer: Callable[[Any], Any]
    clip: Callable[[Any], Any] | None
    evaluate: Callable[[Any], Any] | None
    stop: Callable[[Any], Any] | None
    every: int
    seed: int
    device: Any
    checkpoint: Any
    progress: bool
    nonfinite: str

    def __post_init__(self) -> None:
        if not isinstance(self.model, torch.nn.Module):
            raise TypeError(f"model must be a torch.nn.Module; got {type(self.model).__name__}")
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise ValueError(f"model must have parameters to train; got {type(self.model).__name__} without")
        wide = any(parameter.dtype.itemsize > 4 for parameter in self.model.parameters())
        chosen = pick_device(self.device)
        only_wish = self.device == "auto" and chosen.type == "mps"
        self.device = torch.device("cpu") if only_wish and wide else chosen
        self.model.to(self.device)
        trained = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        self.names, self.parameters = [name for name, _ in trained], [p for _, p in trained]
        self.recorder = Recorder(self.names, self.parameters, self.device)
        self.arrays = {
            "loss": np.empty(self.steps),
            "grad_norm": np.empty(self.steps),
            "clipped": np.empty(self.steps, dtype=bool),
        }
        self.evaluations: list[dict[str, Any]] = []
        self.step, self.stopped_at, self.nonfinite_at = 0, None, None

    def run(self) -> History:
        """Train to the end."""
        into_training = contextlib.nullcontext() if self.model.training else mode(self.model, training=True)
        # Also where the caller has switched gradients off.
        with torch.enable_grad(), into_training, seeded(self.device, self._stream("training")):
            self._prepare()
            shown = bar(self.steps, self.step, self.progress)
            with between_steps(self.file is not None) as interrupt, shown:
                while self.step < self.steps and self.stopped_at is None:
                    self._train_step()
                    shown.update()
                    self._look(shown)
                    if interrupt.pressed:
                        self._leave()
        arrays = {name: array[: self.step] for name, array in self.arrays.items()}
        return History(
            **arrays,
            evaluations=self.evaluations,
            stopped_at=self.stopped_at,
            nonfinite_at=self.nonfinite_at,
        )

    def _stream(self, name: str) -> int:
        return int(random_stream(self.seed, name).integers(2**63))

    def _prepare(self) -> None:
        """Make the optimiser, and find out whether there is something to go on from."""
        self.stepper = self.optimizer(self.parameters)
        if not isinstance(self.stepper, torch.optim.Optimizer):
            raise TypeError(
                f"optimizer must return a torch.optim.Optimizer; got {type(self.stepper).__name__}"
            )
        held = {id(parameter) for group in self.stepper.param_groups for parameter in group["params"]}
        if not any(id(parameter) in held for parameter in self.parameters):
            raise ValueError(
                "optimizer must return one over the parameters that it is handed; this one holds none of them"
            )
        if isinstance(self.stepper, torch.optim.LBFGS):
            raise TypeError("optimizer: LBFGS computes the loss several times a step, which fit does not do")
        self.file = None
        if self.checkpoint is None:
            return
        random = get_random(self.device)
        settings = fingerprint(self, self.batch_of(0))
        set_random(self.device, random)
        self.file = Checkpoint(Path(self.checkpoint), settings)
        stored = self.file.read()
        if stored is None:
            # Before the first step, so that a path that cannot be written does not cost a run.
            self.file.write(state.collect(self), first=True)
        else:
            state.restore(self, stored)

    def _train_step(self) -> None:
        try:
            batch = move(self.batch_of(self.step), self.device)
            self.stepper.zero_grad(set_to_none=True)
            loss = self.loss_fn(self.model, batch)
            check_loss(loss)
            loss.backward()
            self.recorder.add(loss)
            if self.clip is not None:
                self.clip(self.parameters)
                self.recorder.add_clipped()
            self.stepper.step()
        except Exception as error:
            error.add_note(f"This was step {self.step} of fit, on batch_of({self.step}).")
            raise
        self.step += 1

    def _look(self, shown: Any) -> None:
        """Do after a step what is done once a window."""
        window_ends = self.step % self.every == 0 or self.step == self.steps
        if not window_ends and len(self.recorder) < LONGEST:
            return
        self._gather()
        if self.nonfinite_at is None:
            self._check_parameters()
        if window_ends and self.stopped_at is None:
            self._report(shown)
        over = self.step == self.steps or self.stopped_at is not None
        if self.file is not None and (over or (window_ends and self.file.is_due())):
            self.file.write(state.collect(self))

    def _gather(self) -> None:
        """Fetch what the device holds, and act on what is not finite."""
        window = self.recorder.take()
        start = self.step - len(window.loss)
        for name, array in self.arrays.items():
            array[start : self.step] = getattr(window, name)
        if window.repaired is not None:
            offset, what = window.repaired
            log.info("step %d: %s was not finite before the clip", start + offset, what)
        if window.fault is not None:
            self._meet(start + window.fault[0], window.fault[1])

    def _check_parameters(self) -> None:
        """Look at the weights, which an update from finite gradients can still make infinite."""
        good = torch.stack([torch.isfinite(p.detach()).all() for p in self.parameters]).tolist()
        if not all(good):
            self._meet(self.step - 1, f"the parameter {self.names[good.index(False)]} after the update")

    def _meet(self, step: int, what: str) -> None:
        """Do as `nonfinite` says about a number that is not finite."""
        if self.nonfinite == "raise":
            raise NonFiniteError(
                what,
                step,
                f"batch_of({step}) was the batch. If numbers grew, lower the learning rate or clip; "
                "nonfinite='stop' returns what was recorded.",
            )
        if self.nonfinite_at is None:
            self.nonfinite_at = step
            log.info("step %d: %s is not finite", step, what)
        if self.nonfinite == "stop":
            self.stopped_at = self.step

    def _report(self, shown: Any) -> None:
        """Evaluate, tell, and ask whether to stop."""
        start = (self.step - 1) // self.every * self.every
        loss = float(self.arrays["loss"][start : self.step].mean())
        norm = float(self.arrays["grad_norm"][self.step - 1])
        evaluation = {"step": self.step, "loss": loss}
        if self.evaluate is not None:
            with seeded(self.device, self._stream("training.evaluate")):
                evaluation |= call(self.evaluate, self.model)
        self.evaluations.append(evaluation)
        shown.set_postfix_str(f"loss {loss:.4g}, gradient norm {norm:.3g}", refresh=False)
        log.info("step %d: loss %.4g, gradient norm %.3g", self.step, loss, norm)
        if self.stop is not None and self.stop(dict(evaluation)):
            self.stopped_at = self.step

    def _leave(self) -> None:
        """End on Ctrl-C, with all that is done in the checkpoint."""
        with contextlib.suppress(NonFiniteError):
            self._gather()
            self.file.write(state.collect(self))
            log.warning("interrupted after step %d; %s has all of it", self.step, self.file.path)
        raise KeyboardInterrupt
