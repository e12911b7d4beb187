r"""A clip threshold from the norms seen so far.

    η = percentile_q(‖g_1‖, …, ‖g_n‖)            over the last `history` finite norms, this step's included

Index legend: q percentile, n norms kept, η threshold.

Source: Seetharaman, Wichern, Pardo and Le Roux (2020), who keep all norms; ours forgets those of long ago,
so that memory and time a step stay the same and the threshold follows the training.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj

from .arrays import (
    QUIET,
    Array,
    check_array,
    check_finite,
    convert,
    device_of,
    namespace,
    resolve_namespace,
    widened,
)
from .errors import choice, whole_number

__all__ = ["AutoClip", "percentile"]


def percentile(norms: Array | Sequence[float], q: float, nonfinite: str = "raise") -> Array:
    """Return the q-th percentile, interpolated linearly between the two nearest norms.

    Parameters
    ----------
    norms : Array, shape (n,), or sequence of float
        Recorded gradient norms.
    q : float
        0 … 100; 50 is the median.
    nonfinite : {'raise', 'ignore'}
        What to do about inf and NaN. No threshold should hang on a step that went wrong.

    Returns
    -------
    Array, 0-d
        Of the kind of `norms`; NumPy's float64 for a sequence.

    Raises
    ------
    ValueError, TypeError
        No norms, none that is finite, q out of range.
    NonFiniteError
        Naming the first index.

    Examples
    --------
    >>> float(percentile([4.0, 1.0, 2.0, 3.0, float("inf")], 50, nonfinite="ignore"))
    2.5
    """
    q = _percent("q", q)
    choice("nonfinite", nonfinite, ("raise", "ignore"))
    if not is_array_api_obj(norms):
        try:
            norms = np.asarray([float(norm) for norm in norms])
        except (TypeError, ValueError):
            raise TypeError(f"norms must be an array or a sequence of numbers; got {norms!r:.80}") from None
    xp = check_array("norms", norms, [("n", None)])
    if nonfinite == "raise":
        check_finite("norms", norms, "refuse", "Pass nonfinite='ignore' to leave such steps out.")
    norms = xp.where(xp.isfinite(norms), norms, xp.full_like(norms, math.inf))
    if not bool(xp.any(xp.isfinite(norms))):
        raise ValueError(f"norms must hold a finite number; none of the {norms.shape[0]} is")
    return xp.astype(_percentile(xp, widened(xp, norms), q), norms.dtype)


class AutoClip:
    """Clip by norm at a percentile of the norms seen so far.

    Parameters
    ----------
    percentile : float
        q, 0 … 100. The authors' choice is 10: nine steps of ten are shortened.
    history : int
        How many norms to keep. Those that are not finite are not kept.

    Examples
    --------
    >>> auto = AutoClip(percentile=50, history=3)
    >>> [float(auto.update(norm)) for norm in (1.0, 3.0, 8.0, float("nan"), 5.0)]
    [1.0, 2.0, 3.0, 3.0, 5.0]
    """

    def __init__(self, percentile: float = 10.0, history: int = 1000) -> None:
        self.percentile = _percent("percentile", percentile)
        self.history = whole_number("history", history, 1)
        self._norms: Array | None = None  # oldest first; inf where nothing is yet; never written to

    def __repr__(self) -> str:
        return f"AutoClip(percentile={self.percentile:g}, history={self.history})"

    @property
    def norms(self) -> Array | None:
        """The norms kept, oldest first, (history,), inf in places not filled yet; None before the first."""
        return self._norms

    def update(self, norm: float | Array) -> Array:
        """Keep one norm and return the threshold, which takes it into account; inf before any finite norm.

        Reads nothing back: on a GPU it starts its work and returns.

        Parameters
        ----------
        norm : float or 0-d Array
            The same kind every time. One that is not finite changes nothing.

        Returns
        -------
        Array, 0-d
            For `clipping.by_norm(gradients, max_norm)`.

        Raises
        ------
        TypeError, ValueError
            No number, a negative one, no 0-d array of floats.
        """
        if isinstance(norm, bool):
            raise TypeError(f"norm must be a number; got {norm!r}")
        if isinstance(norm, numbers.Real) and not is_array_api_obj(norm):
            if norm < 0:
                raise ValueError(f"norm must be 0 or more; got {norm!r}")
            norm = np.asarray(float(norm))
        xp = check_array("norm", norm, [])
        if hasattr(norm, "detach"):  # or the norms kept would hold the graphs of all steps
            norm = norm.detach()
        norm = widened(xp, norm)
        if self._norms is None:
            self._norms = xp.full((self.history,), math.inf, dtype=norm.dtype, device=device_of(norm))
        elif namespace(self._norms) is not xp or device_of(self._norms) != device_of(norm):
            self._norms = convert(self._norms, xp, device=device_of(norm))  # loaded from elsewhere
        row = xp.astype(xp.reshape(norm, (1,)), self._norms.dtype)
        shifted = xp.concat([self._norms[1:], row])
        self._norms = xp.where(xp.isfinite(norm), shifted, self._norms)
        return _percentile(xp, self._norms, self.percentile)

    def clip_(self, parameters: Any, nonfinite: str = "zero") -> Any:
        """Clip the gradients of PyTorch parameters in place; `AutoClip(…)(parameters)` does the same.

        Parameters
        ----------
        parameters, nonfinite
            As for `clipping.by_norm_`.

        Returns
        -------
        torch.Tensor, 0-d
            The norm before clipping.
        """
        from .clip_torch import clip_by

        return clip_by(parameters, self.update, 2.0, nonfinite)

    __call__ = clip_

    def state_dict(self) -> dict[str, Any]:
        """Return all there is to go on later as if nothing had happened in between."""
        return {"percentile": self.percentile, "history": self.history, "norms": self._norms}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises
        ------
        ValueError
            Other entries, or the norms of another history.
        """
        if not isinstance(state, dict) or set(state) != set(self.state_dict()):
            got = sorted(state) if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"state must hold {', '.join(self.state_dict())}; got {got}")
        history, norms = whole_number("history", state["history"], 1), state["norms"]
        if norms is not None:
            check_array("norms", norms, [("history", history)])
        self.percentile, self.history = _percent("percentile", state["percentile"]), history
        self._norms = norms


@QUIET
def _percentile(xp: Any, norms: Array, q: float) -> Array:
    """Return the percentile of the finite ones, where all others are +inf; inf if there are none."""
    ordered = xp.sort(norms)
    last = xp.sum(xp.astype(xp.isfinite(norms), norms.dtype)) - 1.0
    last = xp.where(last > 0, last, xp.zeros_like(last))
    place = last * (q / 100)
    low = xp.floor(place)
    high = xp.where(low + 1.0 < last, low + 1.0, last)
    index = xp.astype(xp.stack([low, high]), resolve_namespace(xp).int64)
    below, above = (xp.take(ordered, index)[i, ...] for i in range(2))
    # From the lower one upwards: equal norms give themselves, and inf alone is not subtracted from inf.
    share = place - low
    return xp.where(above > below, below + share * (above - below), below)


def _percent(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number from 0 to 100; got {value!r:.80}")
    if not 0 <= value <= 100:
        raise ValueError(f"{name} must lie between 0 and 100; got {value!r}")
    return float(value)
