"""What surrounds a run and is put back after it: random state, cuDNN's choice of algorithms, Ctrl-C."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["Interrupt", "between_steps", "get_random", "seeded", "set_random"]

log = logging.getLogger("vglib")


def get_random(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the state of the generators that a run on `device` draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states[device.type] = getattr(torch, device.type).get_rng_state(*_index(device))
    return states


def set_random(device: torch.device, states: dict[str, torch.Tensor]) -> None:
    """Put back what `get_random` returned."""
    torch.set_rng_state(states["cpu"])
    if device.type != "cpu":
        getattr(torch, device.type).set_rng_state(states[device.type], *_index(device))


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Seed the generators of CPU and `device`, have cuDNN repeat itself; afterwards all is as before."""
    states, cudnn = get_random(device), torch.backends.cudnn
    flags = cudnn.deterministic, cudnn.benchmark
    try:
        # torch.manual_seed would seed all GPUs, and what is not saved cannot be put back.
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        if device.type == "cuda":
            cudnn.deterministic, cudnn.benchmark = True, False
        yield
    finally:
        set_random(device, states)
        if device.type == "cuda":
            cudnn.deterministic, cudnn.benchmark = flags


class Interrupt:
    """Whether Ctrl-C was pressed."""

    pressed = False


@contextmanager
def between_steps(active: bool) -> Iterator[Interrupt]:
    """Let Ctrl-C wait for the end of a step, where weights and optimiser agree; a second one does not wait.

    Python hands signals to its main thread alone; elsewhere nothing changes.
    """
    interrupt = Interrupt()
    before = signal.getsignal(signal.SIGINT) if active else None
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def press(number: int, frame: Any) -> None:
        if interrupt.pressed:
            raise KeyboardInterrupt
        interrupt.pressed = True
        log.warning("interrupted: training ends after this step; interrupt again to end it now")

    signal.signal(signal.SIGINT, press)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


def _index(device: torch.device) -> tuple[Any, ...]:
    return (device,) if device.type == "cuda" else ()
