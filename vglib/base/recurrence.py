r"""What all recurrent cells share: the contract between a cell and the loops through time.

A cell is one layer in one direction. Its state s_t (B, S) is the blocks it names, side by side: [h] for an
RNN, [h; c] for an LSTM. A subclass writes down four things and owns no loop:

`step`            s_{t+1} from the projected input and s_t, and what must be kept
`factors`         the local derivatives, from what was kept: all steps at once, or one
`backward_step`   ∂L/∂s_t from ∂L/∂s_{t+1} and one step's factors
`jacobian`        ∂s_{t+1}/∂s_t from the same factors (optional: `backward_step` gives it)

and, where b_hh is not added to the projected input (a GRU has it inside r ⊙ …), a `project` of its own.

Index legend: T steps, B sequences, D inputs, H units, S state size, G gates; t time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from .arrays import Array, check_array, check_finite, device_of, namespace
from .chain import Arrays, Chain, Step
from .weights import Weights

if TYPE_CHECKING:
    from .trace import Trace

__all__ = ["Arrays", "Recurrence", "check_cell"]

CHUNK = 16
"""Steps that are projected at a time, and whose factors are held."""
SMALL = 2**14
"""Numbers that may be projected at a time in any case."""


@dataclass(frozen=True, eq=False, repr=False)
class Recurrence(Weights, Chain):
    """A recurrent cell; the base class of all of them. Its weights are described at `Weights`."""

    adds_up: ClassVar[bool] = True

    # -- what a sequence needs ------------------------------------------------------------------------

    def project(self, x: Array) -> Array:
        """Return W_ih x_t + b_ih + b_hh for all steps in one product: (T, B, D) → (T, B, G·H)."""
        return self._project(x, self.bias_ih + self.bias_hh)

    def _project(self, x: Array, bias: Array) -> Array:
        """Return W_ih x_t + bias for all steps in one product."""
        xp, (steps, batch, inputs) = self.xp, x.shape
        flat = xp.matmul(xp.reshape(x, (steps * batch, inputs)), self.weight_ih.T)  # one product, not T
        return xp.reshape(flat + bias, (steps, batch, -1))

    def along_rows(self) -> Self:
        """Return the same cell with weight_hh laid out so that h @ weight_hh.T runs along memory.

        For many steps with one matrix that is worth a copy: the product is twice as fast.
        """
        xp, transposed = self.xp, self.weight_hh.T
        flat = xp.reshape(transposed, (-1,))  # copies row by row; a plain copy would keep the old layout
        cell = copy(self)  # without the checks of `replace`, which take longer than several steps
        object.__setattr__(cell, "weight_hh", xp.reshape(flat, transposed.shape).T)
        return cell

    def check_input(self, x: Array, nonfinite: str = "raise") -> None:
        """Raise unless `x` is (T, B, D), finite and of the weights' kind."""
        check_array("x", x, [("T", None), ("B", None), ("D", self.inputs)], like=self.weight_hh)
        check_finite("x", x, nonfinite)

    def check_initial(self, initial: Array | None, batch: int, nonfinite: str = "raise") -> Array:
        """Return the initial state, zeros for None; raise unless it is (B, S), finite and of their kind."""
        if initial is None:
            return self.initial(batch)
        if len(self.blocks) > 1 and isinstance(initial, tuple | list | dict):  # as PyTorch's LSTM takes it
            blocks = ", ".join(f"{name}=…" for name in self.blocks)
            raise TypeError(f"initial must be one array: cell.join({blocks}); got {type(initial).__name__}")
        check_array("initial", initial, [("B", batch), ("S", self.size)], like=self.weight_hh)
        check_finite("initial", initial[None, ...], nonfinite)
        return initial

    def split(self, state: Array) -> dict[str, Array]:
        """Return the blocks of a state (…, S) by name: {'h': …}, for an LSTM {'h': …, 'c': …}."""
        namespace(state, "state")
        if state.ndim == 0 or state.shape[-1] != self.size:
            raise ValueError(f"state must have shape (…, S={self.size}); got {tuple(state.shape)}")
        return dict(zip(self.blocks, self._slices(state, len(self.blocks)), strict=True))

    def join(self, **blocks: Array) -> Array:
        """Return the state (…, S) of given blocks (…, H); the inverse of `split`.

        Raises
        ------
        TypeError
            Other names than the cell's blocks; blocks of another library, dtype or device.
        ValueError
            Blocks of different shapes.
        """
        if set(blocks) != set(self.blocks):
            own, came = (", ".join(names) or "nothing" for names in (self.blocks, blocks))
            raise TypeError(f"the blocks of {type(self).__name__} are {own}; got {came}")
        first = blocks[self.blocks[0]]
        namespace(first, self.blocks[0])
        shape = [("…", size) for size in first.shape[:-1]] + [("H", self.hidden)]
        for name, block in blocks.items():
            check_array(name, block, shape, like=self.weight_hh)
        return self.xp.concat([blocks[name] for name in self.blocks], axis=-1)

    def weight_gradients(self, d_input: Array, d_recurrent: Array, x: Array, h: Array) -> dict[str, Array]:
        """Return the gradients of all weights, summed over the last axis but one, N.

        Parameters
        ----------
        d_input, d_recurrent : Array, shape (…, N, G·H)
            What `backward_step` returns for the input and for the recurrent side.
        x, h : Array, shape (…, N, D) and (…, N, H)
            Input and output h_t of the same steps.

        Returns
        -------
        dict of str to Array, shape (…, *shape of the weight)
        """
        xp = self.xp
        return {
            "weight_ih": xp.matmul(xp.matrix_transpose(d_input), x),
            "weight_hh": xp.matmul(xp.matrix_transpose(d_recurrent), h),
            # Equal where both sides are one, yet never one array: a clipped one must not change the other.
            "bias_ih": xp.sum(d_input, axis=-2),
            "bias_hh": xp.sum(d_recurrent, axis=-2),
        }

    def before(self, delta: Array) -> Array:
        """Return ∂L/∂h_t = δ_t W_hh, (…, H), from the recurrent side's δ_t (…, G·H)."""
        if delta.ndim == 2:
            return self.xp.matmul(delta, self.weight_hh)
        # One flat product: a stack of small ones is several times slower.
        flat = self.xp.reshape(delta, (-1, delta.shape[-1]))
        return self.xp.reshape(self.xp.matmul(flat, self.weight_hh), (*delta.shape[:-1], self.hidden))

    def by_gate(self, stacked: Array) -> Arrays:
        """Return the gates' blocks (…, H) of what is stacked, (…, G·H)."""
        return self._slices(stacked, self.gates)

    def _slices(self, array: Array, number: int) -> Arrays:
        h = self.hidden
        return tuple(array[..., i * h : (i + 1) * h] for i in range(number))

    # -- what a chain of steps is asked, where all steps share the cell -------------------------------

    def begin(self, x: Array, initial: Array | None, nonfinite: str) -> tuple[Array, Iterable[Step]]:
        """Return s_0, and the cell's step with the projected input of each moment."""
        self.check_input(x, nonfinite)
        return self.check_initial(initial, x.shape[1], nonfinite), self._steps(x)

    def _steps(self, x: Array) -> Iterator[Step]:
        steps, step = x.shape[0], self.along_rows().step
        # All projected at once would be as much memory as the trace; where that is little, it is faster.
        chunk = max(CHUNK, SMALL // (x.shape[1] * self.weight_hh.shape[0]))
        for start in range(0, steps, chunk):
            projected = self.project(x[start : min(start + chunk, steps), ...])
            for t in range(projected.shape[0]):
                yield partial(step, projected[t, ...])

    def at(self, t: int) -> Self:
        """Return the cell itself: it is the same at every moment."""
        return self

    def factors_by_step(self, saved: Arrays) -> Callable[[int], Arrays]:
        """Return t ↦ the factors of step t, made a few steps at a time.

        All at once would take more memory than the trace, which costs more than it saves; one by one is slow
        where the arrays are small.
        """
        rows: dict[int, Arrays] = {}

        def factors(t: int) -> Arrays:
            if t not in rows:
                start = max(0, t + 1 - CHUNK)
                here = self.factors(tuple(kept[start : t + 1, ...] for kept in saved))
                by_factor = ([f[i, ...] for i in range(t + 1 - start)] for f in here)
                rows.clear()
                rows.update(enumerate(zip(*by_factor, strict=True), start))
            return rows[t]

        return factors

    def jacobians(self, saved: Arrays) -> Array:
        """Return all one-step Jacobians in one product."""
        return self.jacobian(self.factors(saved))

    def parameter_gradients(self, trace: Trace, deltas: Sequence[Array]) -> dict[str, Array]:
        """Return the gradients of the weights, summed over steps and sequences in one product."""
        h = self.output(trace.states[:-1, ...])
        # Steps and sequences become one axis, so that one flat product serves all.
        flat = (self.xp.reshape(a, (-1, a.shape[-1])) for a in (*deltas, trace.inputs, h))
        return self.weight_gradients(*flat)

    def input_gradients(self, trace: Trace, d_start: Array, deltas: Sequence[Array]) -> Array:
        """Return ∂L/∂x_t = δ_t W_ih, (T, B, D)."""
        return self.xp.matmul(deltas[0], self.weight_ih)

    # -- the four things a cell writes down -----------------------------------------------------------

    def step(self, projected: Array, state: Array) -> tuple[Array, tuple[Array, ...]]:
        """Return s_{t+1} (B, S), and a tuple of arrays (B, …) for `factors`, from (B, G·H) and s_t (B, S)."""
        raise NotImplementedError(f"{type(self).__name__}.step")

    def factors(self, saved: tuple[Array, ...]) -> tuple[Array, ...]:
        """Return the local derivatives, each with one axis of units, from what `step` kept.

        The leading axes of `saved` are (T, B) for all steps at once or (B,) for one, and stay.
        """
        raise NotImplementedError(f"{type(self).__name__}.factors")

    def backward_step(self, factors: Arrays, d_state: Array) -> Arrays:
        """Return the gradients of s_t, of the input side and of the recurrent side, from that of s_{t+1}.

        Parameters
        ----------
        factors : tuple of Array
            Of one step, leading axis (B,).
        d_state : Array, shape (B, S), or (n, B, S) or (n, 1, S)
            ∂L/∂s_{t+1}: of one loss, or of n losses side by side. It must broadcast with the factors.

        Returns
        -------
        d_previous : Array, shape (…, B, S)
        d_input, d_recurrent : Array, shape (…, B, G·H)
            Gradients of W_ih x_t + … and of W_hh h_t + …; one and the same array where they are equal.
        """
        raise NotImplementedError(f"{type(self).__name__}.backward_step")

    def jacobian(self, factors: tuple[Array, ...]) -> Array:
        """Return ∂s_{t+1}/∂s_t, (…, S, S) with rows for the output, for factors with any leading axes.

        This generic form sends the rows of the identity through `backward_step`: a row of the Jacobian *is*
        the gradient of one output. Cells override it with a shorter formula and are tested against it.
        """
        xp, size = self.xp, self.size
        lead = factors[0].ndim - 1
        rows = xp.eye(size, dtype=factors[0].dtype, device=device_of(factors[0]))
        rows = xp.reshape(rows, (size, *([1] * lead), size))
        return xp.moveaxis(self.backward_step(factors, rows)[0], 0, -2)


def check_cell(cell: Any) -> None:
    """Raise TypeError unless `cell` is a `Recurrence`."""
    if not isinstance(cell, Recurrence):
        raise TypeError(f"cell must be a vglib cell such as RNN; got {type(cell).__name__}")
