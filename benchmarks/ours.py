"""What vglib does. Every function makes one contender from a backend and a device."""

from __future__ import annotations

from vglib import GRU, LSTM, RNN, bptt, clipping, jacobians
from vglib.base.arrays import to_numpy
from vglib.base.recurrence import Recurrence

from .problem import BLOCKS, LONG, SHORT, Contender, Problem, Sizes, clipped, unclipped

__all__ = [
    "clip_long",
    "clip_short",
    "gradients",
    "gru_gradients",
    "log_norms",
    "lstm_gradients",
    "lstm_steps",
    "lstm_stream",
    "steps",
    "stream",
]


def steps(backend: str, device: str, sizes: Sizes = SHORT, kind: type[Recurrence] = RNN) -> Contender:
    """All one-step Jacobians, stored."""
    problem = Problem(sizes, backend, device, kind=kind)
    trace = problem.trace()

    def evidence() -> dict:
        J = jacobians.steps(trace)
        return {
            "J v": to_numpy(J @ problem.probe),
            "v J": to_numpy(problem.probe @ J),
        }

    return Contender(lambda: jacobians.steps(trace), evidence)


def lstm_steps(backend: str, device: str) -> Contender:
    """All one-step Jacobians of an LSTM, stored."""
    return steps(backend, device, BLOCKS, LSTM)


def stream(backend: str, device: str, sizes: Sizes = SHORT, kind: type[Recurrence] = RNN) -> Contender:
    """All one-step Jacobians one after the other; each is complete before the next and none is kept."""
    problem = Problem(sizes, backend, device, kind=kind)
    trace, xp, v = problem.trace(), problem.cell.xp, problem.probe

    def call() -> None:
        for _ in jacobians.stream(trace):
            pass

    def evidence() -> dict:
        pairs = [(J @ v, v @ J) for J in jacobians.stream(trace)]
        return {
            "J v": to_numpy(xp.stack([pair[0] for pair in pairs])),
            "v J": to_numpy(xp.stack([pair[1] for pair in pairs])),
        }

    return Contender(call, evidence)


def lstm_stream(backend: str, device: str) -> Contender:
    """All one-step Jacobians of an LSTM one after the other."""
    return stream(backend, device, BLOCKS, LSTM)


def gradients(backend: str, device: str, kind: type[Recurrence] = RNN) -> Contender:
    """Forward and backward: gradients of parameters, inputs and states."""
    problem = Problem(SHORT, backend, device, kind=kind)

    def call() -> bptt.Gradients:
        return bptt.backprop(bptt.unroll(problem.cell, problem.x), problem.d_outputs)

    def evidence() -> dict:
        grads = call()
        return {name: to_numpy(g) for name, g in {**grads.parameters, "inputs": grads.inputs}.items()}

    return Contender(call, evidence)


def lstm_gradients(backend: str, device: str) -> Contender:
    """Forward and backward of an LSTM, gradients of the cells included."""
    return gradients(backend, device, LSTM)


def gru_gradients(backend: str, device: str) -> Contender:
    """Forward and backward of a GRU."""
    return gradients(backend, device, GRU)


def log_norms(backend: str, device: str) -> Contender:
    """Log-norms of all products ∂s_T/∂s_t, with one running product."""
    trace = Problem(LONG, backend, device).trace()
    return Contender(
        lambda: jacobians.log_norms(trace), lambda: {"log-norms": to_numpy(jacobians.log_norms(trace))}
    )


def clip_long(backend: str, device: str) -> Contender:
    """Clipping by norm in place, of gradients that are too long."""
    return clipped(clipping.by_norm_, device)


def clip_short(backend: str, device: str) -> Contender:
    """Look at gradients that are short enough, with the same."""
    return unclipped(clipping.by_norm_, device)
