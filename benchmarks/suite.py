"""What is compared, and what must hold.

A ratio says how many times longer the other way takes. Targets are for the CPU, T = 100, B = 32, D = 32,
H = 128, float32, NumPy on our side and PyTorch on the other; for the Jacobians of an LSTM, whose state is
twice as long, T = 25; for clipping, 50 gradients of 256 × 256 and PyTorch on both sides. Rows without a
target are for information.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from . import gauges
from .problem import BLOCKS, LONG, LONGEST, SHORT
from .race import race

__all__ = ["Row", "duration", "run"]

MEGABYTE = 1_000_000
LENGTHS = (1000, 4000)
DTYPES = ("float32", "float64")
STREAMED = (4_096, LONGEST.steps)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    what : str
    ours : float
    theirs : float or None
    unit : str
        Of both.
    ratio : float or None
        Median over the rounds of theirs / ours, which is not quite the ratio of the two medians.
    ratios : list of float
        One a round.
    at_least : float or None
        Target for the ratio.
    at_most : float or None
        Target for ours.
    """

    what: str
    ours: float
    unit: str
    theirs: float | None = None
    ratio: float | None = None
    ratios: list[float] = field(default_factory=list)
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.at_least is not None:
            return self.ratio >= self.at_least
        return self.ours <= self.at_most if self.at_most is not None else None


@dataclass(frozen=True)
class Race:
    """Contenders that take turns, and the pairs of them that are shown.

    Attributes
    ----------
    contenders : dict of label to (function, backend)
        Ours first.
    pairs : tuple of (ours, theirs, what, target)
        Labels, the table's words, and the least ratio or None.
    """

    contenders: dict[str, tuple[str, str]]
    pairs: tuple[tuple[str, str, str, float | None], ...]

    def run(self, device: str, rounds: int, tick: Callable[[str], None]) -> list[Row]:
        """Let them race; return a row for each pair."""
        on_gpu = device != "cpu"
        contenders = {
            label: (name, "torch" if on_gpu else backend)
            for label, (name, backend) in self.contenders.items()
        }
        times = race(contenders, device, rounds, tick)
        rows = []
        for ours, theirs, what, target in self.pairs:
            ratios = [b / a for a, b in zip(times[ours], times[theirs], strict=True)]
            rows.append(
                Row(
                    what=what,
                    ours=statistics.median(times[ours]),
                    theirs=statistics.median(times[theirs]),
                    unit="ms",
                    ratio=statistics.median(ratios),
                    ratios=ratios,
                    at_least=None if on_gpu else target,
                )
            )
        return rows


RACES = (
    Race(
        {
            "steps": ("ours:steps", "numpy"),
            "stream": ("ours:stream", "numpy"),
            "vmap(jacrev)": ("instead:jacrev", "torch"),
            "vmap(jacrev), chunked": ("instead:jacrev_chunked", "torch"),
            "vmap(jacrev), by step": ("instead:jacrev_by_step", "torch"),
            "by hand": ("instead:by_hand", "torch"),
        },
        (
            ("steps", "vmap(jacrev)", "Jacobians, stored / vmap(jacrev)", 7.0),
            ("steps", "vmap(jacrev), chunked", "Jacobians, stored / vmap(jacrev) in chunks", None),
            ("steps", "by hand", "Jacobians, stored / torch by hand", None),
            ("stream", "vmap(jacrev)", "Jacobians, streamed / vmap(jacrev)", 15.0),
            ("stream", "vmap(jacrev), by step", "Jacobians, streamed / vmap(jacrev) by step", None),
        ),
    ),
    Race(
        {
            "unroll, backprop": ("ours:gradients", "numpy"),
            "cell loop": ("by_autograd:cell_loop", "torch"),
            "torch.nn.RNN": ("by_autograd:fused", "torch"),
        },
        (
            ("unroll, backprop", "cell loop", "forward and backward / RNNCell, autograd", 1.0),
            ("unroll, backprop", "torch.nn.RNN", "forward and backward / torch.nn.RNN", None),
        ),
    ),
    *(
        Race(
            {
                f"{name}: unroll, backprop": (f"ours:{name.lower()}_gradients", "numpy"),
                f"{name}: textbook": (f"by_autograd:{name.lower()}_textbook", "torch"),
                f"{name}Cell": (f"by_autograd:{name.lower()}_cell_loop", "torch"),
                f"torch.nn.{name}": (f"by_autograd:{name.lower()}_fused", "torch"),
            },
            tuple(
                (f"{name}: unroll, backprop", theirs, f"{name}, forward and backward / {what}", target)
                for theirs, what, target in (
                    (f"{name}: textbook", "textbook loop, autograd", 2.0),
                    (f"{name}Cell", f"{name}Cell, autograd", 4 / 3),
                    (f"torch.nn.{name}", f"torch.nn.{name}", 1 / 3),
                )
            ),
        )
        for name in ("LSTM", "GRU")
    ),
    Race(
        {
            "LSTM: steps": ("ours:lstm_steps", "numpy"),
            "LSTM: stream": ("ours:lstm_stream", "numpy"),
            "LSTM: vmap(jacrev)": ("by_autograd:lstm_jacrev", "torch"),
            "LSTM: vmap(jacrev), chunked": ("by_autograd:lstm_jacrev_chunked", "torch"),
        },
        (
            ("LSTM: steps", "LSTM: vmap(jacrev)", "LSTM Jacobians, stored / vmap(jacrev)", 10.0),
            ("LSTM: stream", "LSTM: vmap(jacrev)", "LSTM Jacobians, streamed / vmap(jacrev)", 10.0),
            (
                "LSTM: steps",
                "LSTM: vmap(jacrev), chunked",
                "LSTM Jacobians, stored / vmap(jacrev) in chunks",
                None,
            ),
        ),
    ),
    Race(
        {
            "log_norms": ("ours:log_norms", "numpy"),
            "product of steps": ("instead:product_of_steps", "numpy"),
        },
        (("log_norms", "product of steps", f"log_norms, T={LONG.steps} / product of stored steps", None),),
    ),
    Race(
        {"by_norm_": ("ours:clip_long", "torch"), "clip_grad_norm_": ("instead:clip_long", "torch")},
        (("by_norm_", "clip_grad_norm_", "clipping long gradients / torch clip_grad_norm_", 1.0),),
    ),
    Race(
        {"by_norm_": ("ours:clip_short", "torch"), "clip_grad_norm_": ("instead:clip_short", "torch")},
        (("by_norm_", "clip_grad_norm_", "clipping short gradients / torch clip_grad_norm_", 1.0),),
    ),
)


def duration(rounds: int) -> int:
    """Return how many ticks `run` makes."""
    starts_and_turns = sum(len(r.contenders) * (rounds + 1) for r in RACES)
    return starts_and_turns + 1 + len(LENGTHS) + 1 + len(STREAMED) + rounds


def run(device: str, rounds: int, tick: Callable[[str], None]) -> list[Row]:
    """Run everything, one after the other.

    Parameters
    ----------
    device : {'cpu', 'cuda'}
    rounds : int
        Turns of each contender.
    tick : callable
        Told what has just been done, `duration(rounds)` times.

    Returns
    -------
    list of Row

    Raises
    ------
    BenchmarkError
        A contender failed, or two do not agree.
    """
    rows = [row for entry in RACES for row in entry.run(device, rounds, tick)]
    return rows + _long_sequences(device, tick) + _truncation(device, tick) + _imports(rounds, tick)


def _long_sequences(device: str, tick: Callable[[str], None]) -> list[Row]:
    cpu = device == "cpu"
    backend = "numpy" if cpu else "torch"
    stored = gauges.measure("product_of_steps", backend, device)["bytes"] / MEGABYTE
    tick("product of steps")
    rows = []
    for steps in LENGTHS:
        seen = gauges.measure("log_norms", str(steps), backend, device)
        tick(f"log_norms, T={steps}")
        for dtype in DTYPES:
            what, peak = f"log_norms, T={steps}, {dtype}", seen[f"{dtype} bytes"] / MEGABYTE
            rows += [
                Row(f"{what}: peak beyond the trace", peak, "MB", at_most=8.0 if cpu else None),
                Row(f"{what}: time", seen[f"{dtype} ms"], "ms"),
            ]
        what = f"log_norms, T={steps}: float32 off float64, share of range"
        rows.append(Row(what, seen["share"], "", at_most=1e-5))
    first = rows[0]  # the one whose memory the stored steps are compared with
    rows[0] = replace(
        first, what=f"{first.what} / product of stored steps", theirs=stored, ratio=stored / first.ours
    )
    return rows


def _truncation(device: str, tick: Callable[[str], None]) -> list[Row]:
    cpu = device == "cpu"
    backend = "numpy" if cpu else "torch"
    seen = gauges.measure("checkpointed", str(LONGEST.steps), backend, device)
    tick("checkpointed")
    what = f"checkpointed, T={LONGEST.steps}"
    ours, plain = seen["bytes"] / MEGABYTE, seen["plain bytes"] / MEGABYTE
    rows = [
        Row(
            f"{what}: peak / stored trace, beyond inputs",
            ours,
            "MB",
            theirs=plain,
            ratio=plain / ours,
            at_least=20.0 if cpu else None,
        ),
        # At most 1.7 times the plain way's time.
        Row(
            f"{what}: time / stored trace",
            seen["ms"],
            "ms",
            theirs=seen["plain ms"],
            ratio=1 / seen["slower"],
            at_least=1 / 1.7 if cpu else None,
        ),
        Row(f"{what}: gradients off the plain ones", seen["apart"], "", at_most=1e-4),
    ]
    streams = {}
    for steps in STREAMED:
        streams[steps] = gauges.measure("truncated", str(steps), backend, device)
        tick(f"TBPTT, T={steps}")
    short, long = (streams[steps]["bytes"] / MEGABYTE for steps in STREAMED)
    rows.append(
        Row(
            f"TBPTT(100, 200) streamed, T={STREAMED[1]}: peak / same at T={STREAMED[0]}",
            long,
            "MB",
            theirs=short,
            ratio=short / long,
            at_least=0.9 if cpu else None,
        )
    )
    rows.append(Row(f"TBPTT(100, 200) streamed, T={STREAMED[1]}: time", streams[STREAMED[1]]["ms"], "ms"))
    return rows


def _imports(rounds: int, tick: Callable[[str], None]) -> list[Row]:
    costs = gauges.import_cost(rounds, tick)
    return [Row("import vglib, beyond NumPy", statistics.median(costs), "ms", at_most=50.0)]


SETTINGS = {
    "short": str(SHORT),
    "blocks": str(BLOCKS),
    "long": str(LONG),
    "longest": str(LONGEST),
    "dtype": "float32",
}
"""The sizes, as the file stores them."""
