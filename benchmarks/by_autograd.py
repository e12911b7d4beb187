"""Gradients that a user would have PyTorch's autograd compute; contenders as in `instead`.

Of each cell there is the fused layer, a loop over `torch.nn`'s one-step cell, and of LSTM and GRU the loop as
textbooks print it: one product for each gate and side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vglib import GRU, LSTM, RNN
from vglib.base.arrays import to_numpy
from vglib.base.recurrence import Recurrence

from .problem import BLOCKS, SHORT, Contender, Problem

__all__ = [
    "cell_loop",
    "fused",
    "gru_cell_loop",
    "gru_fused",
    "gru_textbook",
    "lstm_cell_loop",
    "lstm_fused",
    "lstm_jacrev",
    "lstm_jacrev_chunked",
    "lstm_textbook",
]

CHUNK = 32
"""Steps of sequences that `vmap` takes at once, when told to."""


def cell_loop(backend: str, device: str, kind: type[Recurrence] = RNN) -> Contender:
    """`torch.nn.RNNCell` in a Python loop, and autograd."""
    import torch

    problem = Problem(SHORT, "torch", device, kind=kind)
    cell = getattr(torch.nn, f"{kind.torch_name}Cell")(SHORT.inputs, SHORT.hidden, device=device)
    with torch.no_grad():
        for name, weight in problem.cell.parameters.items():
            getattr(cell, name).copy_(weight)

    def forward(x: Any) -> Any:
        zeros = x.new_zeros(SHORT.batch, SHORT.hidden)
        state, outputs = (zeros, zeros) if kind is LSTM else zeros, []
        for row in x:
            state = cell(row, state)
            outputs.append(state[0] if kind is LSTM else state)
        return torch.stack(outputs)

    return _module(problem, cell, forward)


def lstm_cell_loop(backend: str, device: str) -> Contender:
    """`torch.nn.LSTMCell` in a Python loop, and autograd."""
    return cell_loop(backend, device, LSTM)


def gru_cell_loop(backend: str, device: str) -> Contender:
    """`torch.nn.GRUCell` in a Python loop, and autograd."""
    return cell_loop(backend, device, GRU)


def fused(backend: str, device: str, kind: type[Recurrence] = RNN) -> Contender:
    """`torch.nn.RNN`, PyTorch's kernel for whole sequences, and autograd."""
    problem = Problem(SHORT, "torch", device, kind=kind)
    module = problem.cell.to_torch()
    return _module(problem, module, lambda x: module(x)[0])


def lstm_fused(backend: str, device: str) -> Contender:
    """`torch.nn.LSTM` and autograd."""
    return fused(backend, device, LSTM)


def gru_fused(backend: str, device: str) -> Contender:
    """`torch.nn.GRU` and autograd."""
    return fused(backend, device, GRU)


def lstm_textbook(backend: str, device: str) -> Contender:
    """Write an LSTM as textbooks print it, and let autograd do the rest."""
    import torch

    problem = Problem(SHORT, "torch", device, kind=LSTM)
    gates = _by_gate(problem)

    def forward(x: Any) -> Any:
        (wi, ui, bi, di), (wf, uf, bf, df), (wg, ug, bg, dg), (wo, uo, bo, do) = gates
        h = c = x.new_zeros(SHORT.batch, SHORT.hidden)
        outputs = []
        for row in x:
            i = torch.sigmoid(row @ wi.T + bi + h @ ui.T + di)
            f = torch.sigmoid(row @ wf.T + bf + h @ uf.T + df)
            g = torch.tanh(row @ wg.T + bg + h @ ug.T + dg)
            o = torch.sigmoid(row @ wo.T + bo + h @ uo.T + do)
            c = f * c + i * g
            h = o * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs)

    return _textbook(problem, gates, forward)


def gru_textbook(backend: str, device: str) -> Contender:
    """Write a GRU as textbooks print it, in PyTorch's form, and let autograd do the rest."""
    import torch

    problem = Problem(SHORT, "torch", device, kind=GRU)
    gates = _by_gate(problem)

    def forward(x: Any) -> Any:
        (wr, ur, br, dr), (wz, uz, bz, dz), (wn, un, bn, dn) = gates
        h, outputs = x.new_zeros(SHORT.batch, SHORT.hidden), []
        for row in x:
            r = torch.sigmoid(row @ wr.T + br + h @ ur.T + dr)
            z = torch.sigmoid(row @ wz.T + bz + h @ uz.T + dz)
            n = torch.tanh(row @ wn.T + bn + r * (h @ un.T + dn))
            h = (1 - z) * n + z * h
            outputs.append(h)
        return torch.stack(outputs)

    return _textbook(problem, gates, forward)


def _by_gate(problem: Problem) -> list[tuple[Any, ...]]:
    """Return the weights of each gate as tensors of their own, in the order of `Recurrence.parameters`."""
    parts = [w.chunk(problem.cell.gates) for w in problem.cell.parameters.values()]
    return [tuple(p.clone().requires_grad_() for p in gate) for gate in zip(*parts, strict=True)]


def _textbook(problem: Problem, gates: list[tuple[Any, ...]], forward: Callable[[Any], Any]) -> Contender:
    import torch

    leaves = [leaf for gate in gates for leaf in gate]
    call = _gradients(problem, leaves, forward)

    def evidence() -> dict[str, Any]:
        *found, inputs = call()
        names = list(problem.cell.parameters)
        stacked = {name: torch.cat(found[k :: len(names)]) for k, name in enumerate(names)}
        return {name: to_numpy(g) for name, g in {**stacked, "inputs": inputs}.items()}

    return Contender(call, evidence)


def _module(problem: Problem, module: Any, forward: Callable[[Any], Any]) -> Contender:
    names = [name.removesuffix("_l0") for name, _ in module.named_parameters()]
    call = _gradients(problem, list(module.parameters()), forward)
    return Contender(call, lambda: dict(zip([*names, "inputs"], map(to_numpy, call()), strict=True)))


def _gradients(
    problem: Problem, leaves: list[Any], forward: Callable[[Any], Any]
) -> Callable[[], tuple[Any, ...]]:
    import torch

    def call() -> tuple[Any, ...]:
        x = problem.x.detach().requires_grad_()
        return torch.autograd.grad(forward(x), [*leaves, x], problem.d_outputs)

    return call


def lstm_jacrev(backend: str, device: str, chunk: int | None = None) -> Contender:
    """`vmap(jacrev(cell))` of an LSTM over all steps and sequences at once."""
    import torch
    from torch.func import jacrev, vmap

    problem = Problem(BLOCKS, "torch", device, kind=LSTM)
    cell, (T, B, S) = problem.cell, (BLOCKS.steps, BLOCKS.batch, 2 * BLOCKS.hidden)
    x, s = problem.x.flatten(0, 1), problem.trace().states[:-1].flatten(0, 1)

    def step(x: Any, s: Any) -> Any:
        h, c = s.chunk(2)
        i, f, g, o = (cell.weight_ih @ x + cell.bias_ih + cell.weight_hh @ h + cell.bias_hh).chunk(4)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.cat([torch.sigmoid(o) * torch.tanh(c), c])

    mapped = vmap(jacrev(step, argnums=1), chunk_size=chunk)

    def evidence() -> dict[str, Any]:
        J = mapped(x, s).reshape(T, B, S, S)
        return {"J v": to_numpy(J @ problem.probe), "v J": to_numpy(problem.probe @ J)}

    return Contender(lambda: mapped(x, s), evidence)


def lstm_jacrev_chunked(backend: str, device: str) -> Contender:
    """`vmap(jacrev(cell), chunk_size=…)` of an LSTM: the same, in pieces that stay in the cache."""
    return lstm_jacrev(backend, device, CHUNK)
