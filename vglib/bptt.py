r"""Backpropagation through time, written out.

    s_{t+1} = f(x_t, s_t; θ)                     forward, t = 0 … T−1
    s̄_t     = s̄_{t+1} J_t + ∂⁺L/∂s_t              backward (a bar is a total derivative, a row)
    ∂L/∂θ   = Σ_t s̄_{t+1} ∂⁺s_{t+1}/∂θ            every step uses the same θ, so its shares add up

∂⁺ is the *immediate* derivative of Pascanu et al. (2013): everything else in the formula held fixed.

Index legend: T steps, B sequences, D inputs, H units, S state size, G gates; t step, k the step whose share
is looked at; δ_t = ∂L/∂(pre-activation of step t), (B, G·H); J_t = ∂s_{t+1}/∂s_t.

Sources: Werbos (1990); Williams and Zipser (1989) for `rtrl`; Pascanu, Mikolov and Bengio (2013).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .base.arrays import QUIET, Array, check_array, check_finite, device_of
from .base.direct import direct_derivatives
from .base.errors import choice
from .base.recurrence import Recurrence
from .base.trace import Gradients, Trace, check_trace

__all__ = ["Gradients", "Trace", "backprop", "contributions", "influence", "rtrl", "unroll"]

ByStep = Callable[[int], Array]
WANTS = ("parameters", "inputs", "states")


@QUIET
def unroll(cell: Recurrence, x: Array, initial: Array | None = None, nonfinite: str = "raise") -> Trace:
    """Run a cell over sequences and keep what the backward pass needs.

    Parameters
    ----------
    cell : Recurrence
    x : Array, shape (T, B, D)
        Time first; library, dtype and device of the cell's weights.
    initial : Array, shape (B, S), optional
        s_0; zeros when absent.
    nonfinite : {'raise', 'return'}
        What to do when x or a state is not finite.

    Returns
    -------
    Trace

    Raises
    ------
    ValueError, TypeError
        Wrong rank, size, dtype, device or library; an empty sequence.
    NonFiniteError
        Naming the tensor and the first step.
    """
    _check_cell(cell)
    cell.check_input(x, nonfinite)
    steps, batch = x.shape[:2]
    if initial is None:
        state = cell.initial(batch)
    else:
        check_array("initial", initial, [("B", batch), ("S", cell.size)], like=cell.weight_hh)
        check_finite("initial", initial[None, ...], nonfinite)
        state = initial
    projected = cell.project(x)
    states, saved = [state], []
    for t in range(steps):
        state, keep = cell.step(projected[t, ...], state)
        states.append(state)
        saved.append(keep)
    xp = cell.xp
    stacked = xp.stack(states)
    check_finite("states", stacked, nonfinite, "The forward pass overflowed: smaller weights, or float64.")
    return Trace(cell, x, stacked, tuple(xp.stack(kept) for kept in zip(*saved, strict=True)))


@QUIET
def backprop(
    trace: Trace,
    d_outputs: Array | Callable[[int, int], Array],
    d_final: Array | None = None,
    want: Sequence[str] = WANTS,
    nonfinite: str = "raise",
) -> Gradients:
    """Return all gradients of a loss in one reverse loop.

    Parameters
    ----------
    trace : Trace
        From `unroll`.
    d_outputs : Array, shape (T, B, H), or callable (start, stop) -> Array, shape (stop − start, B, H)
        ∂⁺L/∂h_{t+1}, the loss's direct derivative by each output, *without* what comes back through later
        steps; zeros where the loss does not look. A callable is asked for one chunk at a time, last first.
    d_final : Array, shape (B, S), optional
        A further direct derivative by the final state, e.g. from the next piece of a sequence.
    want : sequence of {'parameters', 'inputs', 'states'}
        What to compute; less is cheaper.
    nonfinite : {'raise', 'return'}

    Returns
    -------
    Gradients

    Raises
    ------
    ValueError, TypeError
        Arguments that do not fit the trace.
    NonFiniteError
        A gradient overflowed; the message names the step, counted as in `Trace.states`.
    """
    want = (want,) if isinstance(want, str) else tuple(want)
    for item in want:
        choice("want", item, WANTS)
    check_trace(trace)
    cell, xp = trace.cell, trace.cell.xp
    states, delta_in, delta_rec = _reverse(trace, *_start(trace, d_outputs, d_final, nonfinite))
    check_finite("grads.states", states, nonfinite, "The gradient explodes.", backward=True)
    parameters = None
    if "parameters" in want:  # one product over steps and sequences at once
        h = cell.output(trace.states[:-1, ...])
        parameters = {
            "weight_ih": xp.matmul(_flat(xp, delta_in).T, _flat(xp, trace.inputs)),
            "weight_hh": xp.matmul(_flat(xp, delta_rec).T, _flat(xp, h)),
            "bias_ih": xp.sum(delta_in, axis=(0, 1)),
            # The two bias gradients are equal where input and recurrent side are one, yet never one array.
            "bias_hh": xp.sum(delta_rec, axis=(0, 1)),
        }
    return Gradients(
        parameters=parameters,
        inputs=xp.matmul(delta_in, cell.weight_ih) if "inputs" in want else None,
        states=states if "states" in want else None,
        initial=states[0, ...],
    )


@QUIET
def contributions(
    trace: Trace, d_outputs: Array, d_final: Array | None = None, nonfinite: str = "raise"
) -> dict[str, Array]:
    """Return each step's share of the parameter gradient: ∂L/∂θ = Σ_k share[k].

    Share k is Pascanu's s̄_{k+1} ∂⁺s_{k+1}/∂θ: the gradient if θ could be changed at step k alone. Far
    shares are small when gradients vanish, and their sum hides it. Sequences are summed.

    Parameters
    ----------
    trace, d_outputs, d_final, nonfinite
        As for `backprop`.

    Returns
    -------
    dict of str to Array, shape (T, *shape of the parameter)

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        As `backprop`.
    """
    check_trace(trace)
    xp, cell = trace.cell.xp, trace.cell
    states, delta_in, delta_rec = _reverse(trace, *_start(trace, d_outputs, d_final, nonfinite))
    check_finite("grads.states", states, nonfinite, "The gradient explodes.", backward=True)
    return {
        "weight_ih": xp.matmul(xp.matrix_transpose(delta_in), trace.inputs),
        "weight_hh": xp.matmul(xp.matrix_transpose(delta_rec), cell.output(trace.states[:-1, ...])),
        "bias_ih": xp.sum(delta_in, axis=1),
        "bias_hh": xp.sum(delta_rec, axis=1),
    }


@QUIET
def influence(trace: Trace, d_outputs: Array, weight: str = "weight_hh") -> Array:
    """Return how much step k adds to the gradient of the loss at step t, for all pairs.

    With L = Σ_t L_t and L_t a function of h_{t+1}, the entry is the Frobenius norm of
    ∂L_t/∂h_{t+1} · ∂h_{t+1}/∂s_{k+1} · ∂⁺s_{k+1}/∂W, and 0 for k > t: the future has no influence.

    Parameters
    ----------
    trace : Trace
    d_outputs : Array, shape (T, B, H)
        Row t is ∂L_t/∂h_{t+1}.
    weight : {'weight_hh', 'weight_ih'}
        W. (With s_0 = 0 the first step adds nothing to W_hh.)

    Returns
    -------
    Array, shape (T, T, B)
        Axes: loss step t, contributing step k, sequence. Needs T²·B·H numbers.

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        As `backprop`.
    """
    check_trace(trace)
    choice("weight", weight, ("weight_hh", "weight_ih"))
    cell, xp = trace.cell, trace.cell.xp
    direct, start = _start(trace, d_outputs, None, "raise")
    # T losses travel back side by side; loss t joins at its own step.
    rows = xp.eye(trace.steps, dtype=start.dtype, device=device_of(start))
    losses = xp.zeros((trace.steps, *start.shape), dtype=start.dtype, device=device_of(start))
    states, delta_in, delta_rec = _reverse(
        trace, lambda t: rows[t, :][:, None, None] * direct(t)[None, ...], losses
    )
    check_finite("grads.states", states, detail="The gradient explodes.", backward=True)
    if weight == "weight_hh":
        delta, source = delta_rec, cell.output(trace.states[:-1, ...])
    else:
        delta, source = delta_in, trace.inputs
    # δ xᵀ is an outer product: its Frobenius norm is the product of the two lengths.
    lengths = _lengths(xp, delta) * _lengths(xp, source)[:, None, :]
    return xp.permute_dims(lengths, (1, 0, 2))


@QUIET
def rtrl(
    cell: Recurrence, x: Array, d_outputs: Array, initial: Array | None = None
) -> tuple[dict[str, Array], Array]:
    """Return the parameter gradients by real-time recurrent learning: forward in time, no tape.

        P_{t+1} = J_t P_t + ∂⁺s_{t+1}/∂θ,   P_t = ∂s_t/∂θ,   ∂L/∂θ = Σ_t ∂⁺L/∂s_t · P_t

    The same gradient as `backprop`. Memory does not grow with T, but P holds S numbers a parameter and
    sequence, and each step multiplies all of it by J: for an RNN about H³ numbers and H⁴ operations a step
    against H and H² for backpropagation.

    Parameters
    ----------
    cell, x, initial
        As for `unroll`.
    d_outputs : Array, shape (T, B, H)
        As for `backprop`.

    Returns
    -------
    parameters : dict of str to Array
    final : Array, shape (B, S)
        s_T.

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        As `unroll`.
    """
    _check_cell(cell)
    cell.check_input(x)
    first = unroll(cell, x[:1, ...], initial)  # checks what came, step 0
    xp, size, batch = cell.xp, cell.size, first.batch
    direct, start = direct_derivatives(cell, x.shape[0], batch, d_outputs)
    eye = xp.eye(size, dtype=start.dtype, device=device_of(start))[:, None, :]
    projected, state = cell.project(x), first.states[0, ...]
    sensitivity: dict[str, Array] = {}
    total: dict[str, Array] = {}
    largest, steepest = [], []
    for t in range(x.shape[0]):
        following, kept = cell.step(projected[t, ...], state)
        # The backward step of the identity's rows: the Jacobian, and ∂⁺s_{t+1}/∂(pre-activations).
        back = cell.backward_step(cell.factors(kept), eye)
        jacobian, by_input, by_recurrent = (xp.permute_dims(a, (1, 0, 2)) for a in back)
        immediate = {
            "weight_ih": by_input[..., None] * x[t, ...][:, None, None, :],
            "weight_hh": by_recurrent[..., None] * cell.output(state)[:, None, None, :],
            "bias_ih": by_input,
            "bias_hh": by_recurrent,
        }
        for name, term in immediate.items():
            grown = xp.reshape(term, (batch, size, -1))
            if t > 0:
                grown = grown + xp.matmul(jacobian, sensitivity[name])
            sensitivity[name] = grown
            share = xp.sum(xp.matmul(direct(t)[:, None, :], grown), axis=(0, 1))
            total[name] = share if t == 0 else total[name] + share
            steepest.append(xp.max(xp.abs(total[name])))
        state = following
        largest.append(xp.max(xp.abs(state)))
    check_finite("states", xp.stack(largest), first=1)
    grown = xp.reshape(xp.stack(steepest), (x.shape[0], -1))
    check_finite("parameters", grown, detail="The gradient explodes.", first=1)
    return {name: xp.reshape(total[name], w.shape) for name, w in cell.parameters.items()}, state


@QUIET
def _reverse(trace: Trace, direct: ByStep, state_bar: Array) -> tuple[Array, ...]:
    """Run the one reverse loop; return s̄ (T+1, …, S) and both sides' δ (T, …, G·H)."""
    cell, xp = trace.cell, trace.cell.xp
    factors = cell.factors(trace.saved)
    bars, d_inputs, d_recurrents = [], [], []
    for t in reversed(range(trace.steps)):
        state_bar = state_bar + direct(t)
        bars.append(state_bar)
        here = tuple(f[t, ...] for f in factors)
        state_bar, d_input, d_recurrent = cell.backward_step(here, state_bar)
        d_inputs.append(d_input)
        d_recurrents.append(d_recurrent)
    bars.append(state_bar)
    one_side = d_recurrents[0] is d_inputs[0]
    delta_in = xp.stack(d_inputs[::-1])
    delta_rec = delta_in if one_side else xp.stack(d_recurrents[::-1])
    return xp.stack(bars[::-1]), delta_in, delta_rec


def _check_cell(cell: Any) -> None:
    if not isinstance(cell, Recurrence):
        raise TypeError(f"cell must be a vglib cell such as RNN; got {type(cell).__name__}")


def _start(trace: Trace, d_outputs: Any, d_final: Array | None, nonfinite: str) -> tuple[Any, Array]:
    return direct_derivatives(trace.cell, trace.steps, trace.batch, d_outputs, d_final, nonfinite)


def _lengths(xp: Any, vectors: Array) -> Array:
    """Return Euclidean lengths along the last axis; no square under- or overflows."""
    largest = xp.max(xp.abs(vectors), axis=-1, keepdims=True)
    scale = xp.where(largest > 0, largest, xp.ones_like(largest))
    return xp.linalg.vector_norm(vectors / scale, axis=-1) * scale[..., 0]


def _flat(xp: Any, array: Array) -> Array:
    """Merge steps and sequences: (T, B, n) → (T·B, n)."""
    return xp.reshape(array, (-1, array.shape[-1]))
