r"""What the loops of `bptt` and `jacobians` ask of a network, whose steps may be moments or layers.

    s_{t+1} = f_t(s_t)          t = 0 … T−1

Through time every f_t has the same weights and an input of its own; through depth each has weights of its own
and nothing enters but s_0. Both are said here: `begin` gives s_0 and the f_t, `at` gives who knows the
derivatives of f_t. All else (states, messages, products of Jacobians, logarithms of norms) is one loop.

A recurrent cell subclasses `vglib.base.recurrence.Recurrence` and has most of this from there. Any other
network subclasses `Chain`, as a frozen dataclass of arrays and settings, and writes down

`like`, `parameters`     one of the arrays; those that a loss is differentiated by
`hidden`                 the size of the state
`begin`                  s_0, and each step s_t ↦ (s_{t+1}, what must be kept)
`factors`                the local derivatives of all steps, from what was kept
`at`                     an object with `factors`, `backward_step` and `jacobian` of one step
`parameter_gradients`    ∂L/∂θ, and `input_gradients` ∂L/∂x, from what the backward steps returned

`tests/base/test_chain.py` has a small one, tanh layers without weights between the units.

Index legend: T steps (L, if they are layers), B sequences or samples, S state size; t step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from .arrays import Array, device_of
from .parameters import Parameters

if TYPE_CHECKING:
    from .trace import Trace

__all__ = ["Arrays", "Chain", "check_chain"]

Arrays = tuple[Array, ...]
Step = Callable[[Array], tuple[Array, Arrays]]


class Chain(Parameters):
    """A network that leads a state through steps.

    Attributes
    ----------
    blocks : tuple of str
        What the state consists of, side by side.
    letter : str
        What messages call the number of steps.
    adds_up : bool
        Whether all steps have the same parameters and an input each, so that `parameter_gradients` of some
        steps and of the others add up, and `input_gradients` stand one after the other.
    """

    blocks: ClassVar[tuple[str, ...]] = ("h",)
    letter: ClassVar[str] = "T"
    adds_up: ClassVar[bool] = False

    @property
    def hidden(self) -> int:
        """H, the size of one block of the state."""
        raise NotImplementedError(f"{type(self).__name__}.hidden")

    @property
    def size(self) -> int:
        """S, the size of the state: H for each block."""
        return self.hidden * len(self.blocks)

    def initial(self, batch: int) -> Array:
        """Return the zero state (B, S)."""
        return self.xp.zeros((batch, self.size), dtype=self.like.dtype, device=device_of(self.like))

    def output(self, state: Array) -> Array:
        """Return what the layer above sees of a state (…, S): its block h, (…, H)."""
        return state[..., : self.hidden]

    def begin(self, x: Array, initial: Array | None, nonfinite: str) -> tuple[Array, Iterable[Step]]:
        """Return s_0, and for each step the function s_t ↦ (s_{t+1}, arrays kept).

        Parameters
        ----------
        x : Array
            What the caller gave to `bptt.unroll`; to be checked here, `initial` too.
        initial : Array, shape (B, S), or None
        nonfinite : {'raise', 'return'}
            To be handed on to `check_finite`.

        Returns
        -------
        state : Array, shape (B, S)
        steps : iterable of callable
            Each keeps the same number of arrays (B, …); the loop stacks them: `saved`, each (T, B, …).
        """
        raise NotImplementedError(f"{type(self).__name__}.begin")

    def at(self, t: int) -> Any:
        """Return who knows the derivatives of step t, an object with three methods.

        `factors(saved)`               the local derivatives, from what this step kept, each (B, …)
        `backward_step(factors, d)`    (∂L/∂s_t, …) from d = ∂L/∂s_{t+1}, (B, S), or (n, B, S) for n losses
                                       side by side; behind it what `parameter_gradients` shall get
        `jacobian(factors)`            ∂s_{t+1}/∂s_t, (B, S, S), rows for the output
        """
        raise NotImplementedError(f"{type(self).__name__}.at")

    def factors(self, saved: Arrays) -> Arrays:
        """Return the local derivatives of all steps at once, each (T, B, …), from what the steps kept."""
        raise NotImplementedError(f"{type(self).__name__}.factors")

    def factors_by_step(self, saved: Arrays) -> Callable[[int], Arrays]:
        """Return t ↦ the factors of step t."""
        factors = self.factors(saved)
        return lambda t: tuple(f[t, ...] for f in factors)

    def jacobians(self, saved: Arrays) -> Array:
        """Return ∂s_{t+1}/∂s_t of all steps, (T, B, S, S), from what the steps kept."""
        matrices = []
        for t in range(saved[0].shape[0]):
            step = self.at(t)
            matrices.append(step.jacobian(step.factors(tuple(kept[t, ...] for kept in saved))))
        return self.xp.stack(matrices)

    def check_jacobians(self) -> None:
        """Raise ValueError where one sequence's state moves another's: then none has its own Jacobian."""

    def parameter_gradients(self, trace: Trace, deltas: Sequence[Array]) -> dict[str, Array]:
        """Return ∂L/∂θ by name, from what `backward_step` returned beside s̄_t, stacked: each (T, B, …)."""
        raise NotImplementedError(f"{type(self).__name__}.parameter_gradients")

    def input_gradients(self, trace: Trace, d_start: Array, deltas: Sequence[Array]) -> Array:
        """Return ∂L/∂x, of the shape of x, from ∂L/∂s (B, S) before the first of the steps, and the same."""
        raise NotImplementedError(f"{type(self).__name__}.input_gradients")

    def memory_gradients(self, factors: Arrays, d_state: Array) -> Array | None:
        """Return the total ∂L/∂c_{t+1} (…, B, H) of a cell that carries a memory c; None for all others.

        Parameters
        ----------
        factors : tuple of Array
            Of the step that leads to s_{t+1}, or of several.
        d_state : Array, shape (…, B, S)
            ∂L/∂s_{t+1}, a block's with the other blocks held fixed.
        """
        return None


def check_chain(cell: Any) -> None:
    """Raise TypeError unless `cell` is something that `bptt.unroll` can run."""
    if not isinstance(cell, Chain):
        raise TypeError(
            f"cell must be a vglib cell such as RNN, or a net of vglib.resnets; got {type(cell).__name__}"
        )
