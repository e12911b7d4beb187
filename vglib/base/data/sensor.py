r"""A generated machine: two sensors, one reading a minute, and a consequence that comes days later.

The pump of a mill, imagined: its casing follows the day and the season, and now and then a stone hits it. The
seal that a stone has cracked holds for `delay` minutes more, then leaks for `delay`/8 minutes, until it is
replaced. Two sensors are cheap, a thermometer on the casing and a microphone; the third quantity, the flow
at the drain, is to be told from them.

    season        d_t = a d_{t−1} + ½ √(1 − a²) ε_t,   a = 1 − 1/delay,   d_0 ~ N(0, ¼)
    stone         e_t = 1 with probability 1/delay, else 0
    thermometer   x_t[0] = sin(2πt/1440 + φ) + d_t + 0.1 ε′_t,   φ ~ U[0, 2π]
    microphone    x_t[1] = 4 e_t + 0.1 ε″_t

    warmth        m_t = m_{t−1} + (x_t[0] − m_{t−1})/32,   m_{−1} = 0
    leak          l_t = 1 if a stone came in minute t − delay − i for some 0 ≤ i < delay/8, else 0
    drain         target_t = ½ m_t + l_t

ε, ε′, ε″ ~ N(0, 1). The warmth needs the last hundred minutes, and gradients through that many steps learn
it. The leak needs one minute at least `delay` ago, and stones are independent: nothing in the last `delay`
minutes tells anything of it. Who looks back no further errs by its variance at least, `baseline`. A leak is
on for a share q ≈ 1 − e^{−1/8} = 0.118 of the time, so that is about q(1 − q) = 0.104.

Index legend: T steps, minutes; t time; D = 2 sensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from types import ModuleType
from typing import Any

import numpy as np

from ..arrays import Array, random_stream, to_numpy
from ..errors import whole_number
from .place import Place

__all__ = ["Sensor", "sensor"]

DAY = 1440
WARMTH = 32
LEAK_SHARE = 8


@dataclass(frozen=True, eq=False)
class Sensor:
    """A series of two sensors and what is to be told from them.

    Attributes
    ----------
    x : Array, shape (T, 1, 2)
        Thermometer and microphone, scaled to the order of 1.
    target : Array, shape (T, 1)
        Flow at the drain: `warmth` + `leak`.
    warmth : Array, shape (T, 1)
        Its part ½ m_t from the recent past.
    leak : Array, shape (T, 1)
        Its part l_t from more than `delay` steps ago, 0 or 1.
    stones : tuple of int
        Steps at which one hits.
    delay : int
        Steps from a stone to the leak.
    """

    x: Array
    target: Array
    warmth: Array
    leak: Array
    stones: tuple[int, ...]
    delay: int

    @property
    def baseline(self) -> float:
        """Mean squared error over steps `delay` … T − 1 if the warmth is known and the leak its mean.

        It is the variance of the leak in this series. Seeing the last `delay` steps alone, nobody does
        better, but for what chance puts into one series.
        """
        return float(np.var(to_numpy(self.leak)[self.delay :].astype("float64")))

    def __repr__(self) -> str:
        return f"Sensor(x {tuple(self.x.shape)}, delay={self.delay}, {len(self.stones)} stones)"


def sensor(
    steps: int = 65_536,
    seed: int = 0,
    xp: ModuleType | None = None,
    device: Any = None,
    dtype: Any = "float64",
    delay: int = 4_096,
) -> Sensor:
    """Return a series of a generated machine; the module says how it is made.

    Parameters
    ----------
    steps : int
        T, more than `delay`. 65,536 minutes are six and a half weeks.
    seed : int
        Of everything random; a longer series of the same seed is another one.
    xp, device, dtype
        As for `RNN.init`.
    delay : int
        Minutes from a stone to its leak, 8 or more; also the mean time between stones, and that in which the
        season changes.

    Returns
    -------
    Sensor

    Raises
    ------
    ValueError, TypeError
        Sizes or a seed that are no whole numbers or too small; an unknown library or dtype.

    Examples
    --------
    >>> series = sensor()
    >>> series.x.shape, series.target.shape
    ((65536, 1, 2), (65536, 1))
    """
    delay, steps = whole_number("delay", delay, LEAK_SHARE), whole_number("steps", steps, 1)
    if steps <= delay:
        raise ValueError(f"steps must be more than delay={delay}, lest no leak can come; got {steps}")
    place, stream = Place(xp, device, dtype), random_stream(seed, "sensor")
    noise = stream.normal(size=(3, steps))
    hits = stream.random(steps) < 1 / delay
    day = np.sin(2 * np.pi * (np.arange(steps) / DAY + stream.random()))

    keep = 1 - 1 / delay
    driven = 0.5 * noise[0]
    driven[1:] *= np.sqrt(1 - keep**2)  # the first is drawn from where the others come to
    x = np.stack([day + _follow(driven, keep) + 0.1 * noise[1], 4.0 * hits + 0.1 * noise[2]], axis=-1)

    warmth = 0.5 * _follow(x[:, 0] / WARMTH, 1 - 1 / WARMTH)
    count = np.concatenate([np.zeros(delay + 1, dtype=int), np.cumsum(hits)])  # of stones before t − delay
    late = np.arange(1, steps + 1)
    leak = (count[late] > count[np.maximum(late - delay // LEAK_SHARE, 0)]).astype("float64")
    parts = [values[:, None] for values in (warmth + leak, warmth, leak)]
    stones = tuple(np.flatnonzero(hits).tolist())
    return Sensor(place.real(x[:, None, :]), *map(place.real, parts), stones, delay)


def _follow(driven: np.ndarray, keep: float) -> np.ndarray:
    """Return y_t = keep · y_{t−1} + driven_t with y_{−1} = 0."""
    return np.fromiter(accumulate(driven.tolist(), lambda y, new: keep * y + new), "float64", len(driven))
