"""The state of a run: all that the rest of it depends on."""

from __future__ import annotations

import logging
from typing import Any

import torch

from .checkpoint import described, owner_of
from .surroundings import get_random, set_random

__all__ = ["STATEFUL", "collect", "restore"]

STATEFUL = ("clip", "stop")
"""Arguments of `fit` whose own state is part of it, where they have `state_dict`."""

log = logging.getLogger("vglib")


def collect(run: Any) -> dict[str, Any]:
    """Return the state of a `Run`: tensors, numbers, strings, lists and dicts."""
    state = {
        "step": run.step,
        "model": run.model.state_dict(),
        "optimizer": run.stepper.state_dict(),
        "random": get_random(run.device),
        "evaluations": run.evaluations,
        "stopped_at": run.stopped_at,
        "nonfinite_at": run.nonfinite_at,
        "attributes": {name: described(getattr(run, name)) for name in STATEFUL},
    }
    for name, array in run.arrays.items():
        state[name] = torch.from_numpy(array[: run.step].copy())
    for name in STATEFUL:
        owner = owner_of(getattr(run, name))
        if hasattr(owner, "state_dict"):
            state[name] = owner.state_dict()
    return state


def restore(run: Any, state: dict[str, Any]) -> None:
    """Put a `Run` where `collect` found it.

    Raises
    ------
    ValueError
        The stored run is longer than this one is to be.
    """
    if state["step"] > run.steps:
        raise ValueError(
            f"steps must be at least the {state['step']} that the checkpoint holds; got {run.steps}"
        )
    run.step, run.stopped_at, run.nonfinite_at = state["step"], state["stopped_at"], state["nonfinite_at"]
    run.model.load_state_dict(state["model"])
    run.stepper.load_state_dict(state["optimizer"])
    for name in STATEFUL:
        if name in state:
            owner_of(getattr(run, name)).load_state_dict(state[name])
    for name, array in run.arrays.items():
        array[: run.step] = state[name].numpy()
    # A shorter run may have ended here, in the middle of a window.
    goes_on = run.step < run.steps and run.stopped_at is None
    run.evaluations = [e for e in state["evaluations"] if not goes_on or e["step"] % run.every == 0]
    set_random(run.device, state["random"])
    log.info("going on after step %d, from %s", run.step, run.checkpoint)
