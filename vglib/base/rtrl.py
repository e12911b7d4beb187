"""Real-time recurrent learning: the same gradient as backpropagation through time, carried forward."""

from __future__ import annotations

from .arrays import QUIET, Array, check_finite, device_of
from .direct import direct_derivatives
from .recurrence import Recurrence, check_cell

__all__ = ["rtrl"]


@QUIET
def rtrl(
    cell: Recurrence,
    x: Array,
    d_outputs: Array,
    initial: Array | None = None,
    nonfinite: str = "raise",
) -> tuple[dict[str, Array], Array]:
    """Return the parameter gradients by real-time recurrent learning: forward in time, no tape.

        P_{t+1} = J_t P_t + ∂⁺s_{t+1}/∂θ,   P_t = ∂s_t/∂θ,   ∂L/∂θ = Σ_t ∂⁺L/∂s_t · P_t

    The same gradient as `bptt.backprop`. Memory does not grow with T, but P holds S numbers a parameter and
    sequence, and each step multiplies all of it by J: for an RNN about H³ numbers and H⁴ operations a step
    against H and H² for backpropagation.

    Parameters
    ----------
    cell, x, initial, nonfinite
        As for `bptt.unroll`.
    d_outputs : Array, shape (T, B, H)
        As for `bptt.backprop`.

    Returns
    -------
    parameters : dict of str to Array
    final : Array, shape (B, S)
        s_T.

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        As `bptt.unroll`.
    """
    check_cell(cell)
    cell.check_input(x, nonfinite)
    xp, size, batch = cell.xp, cell.size, x.shape[1]
    state = cell.check_initial(initial, batch, nonfinite)
    direct, start = direct_derivatives(cell, x.shape[0], batch, d_outputs, nonfinite=nonfinite)
    eye = xp.eye(size, dtype=start.dtype, device=device_of(start))[:, None, :]
    projected = cell.project(x)
    sensitivity: dict[str, Array] = {}
    total: dict[str, Array] = {}
    largest, steepest = [], []
    for t in range(x.shape[0]):
        following, kept = cell.step(projected[t, ...], state)
        # The backward step of the identity's rows: the Jacobian, and ∂⁺s_{t+1}/∂(pre-activations).
        back = cell.backward_step(cell.factors(kept), eye)
        jacobian, by_input, by_recurrent = (xp.permute_dims(a, (1, 0, 2)) for a in back)
        immediate = cell.weight_gradients(
            by_input[..., None, :],
            by_recurrent[..., None, :],
            x[t, ...][:, None, None, :],
            cell.output(state)[:, None, None, :],
        )
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
    check_finite("states", xp.stack(largest), nonfinite, first=1)
    grown = xp.reshape(xp.stack(steepest), (x.shape[0], -1))
    check_finite("parameters", grown, nonfinite, "The gradient explodes.", first=1)
    return {name: xp.reshape(total[name], w.shape) for name, w in cell.parameters.items()}, state
