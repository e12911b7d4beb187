"""What checks have in common: numbers against a reference, and words for what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

__all__ = ["apart", "array", "compare", "derivatives", "differs", "numbers", "predictions", "several"]

Mistakes = Iterable[tuple[Any, str]]


def array(value: object, where: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return an answer as an array of floats, whatever came.

    Parameters
    ----------
    value
        What the learner's function gave.
    where
        Names the case in messages.
    shape
        The shape it should have, if it matters here.

    Raises
    ------
    AssertionError
        It is no array of real numbers, or has another shape.
    """
    try:
        result = np.asarray(value)
    except ValueError:
        raise AssertionError(f"{where}: the rows have different lengths.") from None
    came = f"{type(value).__name__} {value!r:.60}" if result.dtype.kind not in "biufc" else str(result.dtype)
    assert result.dtype.kind in "biuf", f"{where}: real numbers are wanted; {came} came."
    assert shape is None or result.shape == shape, (
        f"{where}: the shape is {result.shape}, it should be {shape}."
    )
    return result.astype(float)


def several(value: Any, count: int, words: str) -> list[Any]:
    """Return an answer of so many parts as a list; parts of one shape may have come as one array.

    Raises
    ------
    AssertionError
        It is none; `words`, such as "two arrays, by h_t and by c_t,", begins the message.
    """
    assert isinstance(value, tuple | list) or np.ndim(value), f"{words} are wanted; {value!r:.80} came."
    assert len(value) == count, f"{words} are wanted; {len(value)} came."
    return list(value)


def numbers(value: object, count: int, what: str = "") -> list[float]:
    """Return an answer as a list of so many finite numbers.

    Raises
    ------
    AssertionError
        It is none; the message says which entry is wrong.
    """
    words = what or f"a tuple of {count} numbers"
    wanted = isinstance(value, tuple | list) or (isinstance(value, np.ndarray) and value.ndim > 0)
    wanted = wanted and len(value) == count
    assert wanted, f"{words} is wanted; {value!r:.80} came."
    for i, item in enumerate(value, 1):
        try:
            is_number = np.shape(item) == () and np.asarray(item).dtype.kind in "iuf"
        except ValueError:
            is_number = False
        assert is_number, f"question {i}: a number is wanted; {item!r:.80} came."
        assert np.isfinite(item), f"question {i}: a finite number is wanted; {item!r} came."
    return [float(item) for item in value]


def differs(got: Any, want: Any, tolerance: float = 1e-6, scale: float | None = None) -> bool:
    """Return whether two arrays differ by more than `tolerance` of the largest entry, or of `scale`."""
    size = scale or np.max(np.abs(want), initial=0.0) or 1.0
    return not np.max(np.abs(got - want), initial=0.0) <= tolerance * size


def compare(
    got: object,
    want: Any,
    where: str,
    mistakes: Mistakes = (),
    hint: str = "",
    *,
    tolerance: float = 1e-6,
    scale: float | None = None,
) -> None:
    """Pass, or say what came, what was expected, and which known mistake gives just that.

    Parameters
    ----------
    got
        What the learner's function gave.
    want
        The reference.
    where
        Names the case: which input, which of several results.
    mistakes
        Pairs of a wrong result and what leads to it.
    hint
        Ends the message if no known mistake fits.
    tolerance, scale
        How far apart the two may be, as a share of the reference's largest entry or of `scale`.

    Raises
    ------
    AssertionError
        They differ.
    """
    want = np.asarray(want, dtype=float)
    got = array(got, where, want.shape)
    assert not np.any(np.isnan(got)), f"{where}: there is a NaN in the result. {hint}".strip()
    near = {"tolerance": tolerance, "scale": scale}
    if not differs(got, want, **near):
        return
    usual = [(-want, "all is right but the sign."), (2 * want, "this is twice the right answer.")]
    if want.ndim > 1 and want.shape[-1] == want.shape[-2]:
        usual.append((np.swapaxes(want, -1, -2), "this is the transpose of the right answer."))
    for value, why in [*mistakes, *usual]:
        if np.shape(value) == got.shape and not differs(got, value, **near):
            raise AssertionError(f"{where}: {why}")
    at = np.unravel_index(np.argmax(np.abs(got - want)), want.shape)
    entry = f" at {tuple(int(i) for i in at)}" if want.ndim else ""
    yours, reference = apart(got[at], want[at])
    came = f"yours{entry} is {yours}, the reference is {reference}."
    if not differs(got, want, 1e-5, scale):
        came += " That is almost right: is there a float32, a finite difference or a rounding in it?"
    raise AssertionError(f"{where}: {came} {hint}".strip())


def apart(one: float, other: float) -> tuple[str, str]:
    """Return two numbers with so many digits, six or more, that they look as different as they are."""
    for digits in (6, 9, 12, 17):
        texts = f"{one:.{digits}g}", f"{other:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts


def predictions(
    answer: object,
    truth: Sequence[float],
    names: Sequence[str],
    mistakes: Iterable[tuple[int, float | tuple[float, float], str]] = (),
    *,
    tolerances: float | Sequence[float] = 1e-2,
    absolute: bool = False,
    column: str = "vglib",
    digits: str = ".4g",
) -> str:
    """Compare several predicted numbers with what was computed, and return both as a table.

    Parameters
    ----------
    answer
        What the learner predicted.
    truth
        What was computed or measured.
    names
        A few words for each.
    mistakes
        Triples: which question (from 0), a wrong number or the ends of a range of them, and what leads to it.
    tolerances
        One for all or one each: a share of the truth, or with `absolute` the distance itself.
    absolute
        See `tolerances`.
    column
        Head of the column of truths.
    digits
        Format of the numbers in the table.

    Raises
    ------
    AssertionError
        One of them is wrong; the message says which, and why if the mistake is known.
    """
    values = numbers(answer, len(truth))
    near = [tolerances] * len(truth) if isinstance(tolerances, float | int) else list(tolerances)
    allowed = [one * (1.0 if absolute else abs(right)) for one, right in zip(near, truth, strict=True)]
    for i, (value, right) in enumerate(zip(values, truth, strict=True)):
        if abs(value - right) <= allowed[i]:
            continue
        for which, wrong, why in mistakes:
            # A mistake is known by its number, to the precision of the truth; a 0 by itself alone.
            if isinstance(wrong, tuple):
                low, high = wrong
            else:
                close = max(near[i] * (1.0 if absolute else abs(wrong)), 1e-9 * abs(wrong))
                low, high = wrong - close, wrong + close
            assert which != i or not low <= value <= high, f"question {i + 1}, your {value:g}: {why}"
        way = "large" if value > right else "small"
        raise AssertionError(f"question {i + 1} ({names[i]}): your {value:g} is too {way}.")
    table = [("", "yours", column)]
    table += [
        (name, format(value, digits).strip(), format(right, digits).strip())
        for name, value, right in zip(names, values, truth, strict=True)
    ]
    wide, left, right = (max(map(len, entries)) for entries in zip(*table, strict=True))
    return "\n".join(f"{name:{wide}s}  {a:>{left}s}  {b:>{right}s}" for name, a, b in table)


def derivatives(
    function: Callable[..., Any], inputs: Sequence[np.ndarray], weights: np.ndarray
) -> list[np.ndarray]:
    """Return the derivatives of Σ weights · function(*inputs) by every entry of every input.

    By complex steps, Im f(x + ih)/h, which nothing is subtracted in: exact up to rounding.

    Parameters
    ----------
    function
        Analytic. It must take stacks: an axis more in front of any one input, and then of the result.
    inputs
        Where to differentiate.
    weights
        Of the shape of the result: the gradient that arrives there.
    """
    found = []
    for k, value in enumerate(inputs):
        steps = value + 1e-30j * np.eye(value.size).reshape(value.size, *value.shape)
        moved = function(*inputs[:k], steps, *inputs[k + 1 :]).imag / 1e-30
        found.append((weights * moved).reshape(value.size, -1).sum(axis=1).reshape(value.shape))
    return found
