"""The sliders of a figure: their positions, and how each position is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Slider", "slider"]


@dataclass(frozen=True)
class Slider:
    """The positions of one slider; made by `slider`."""

    values: tuple[Any, ...]
    texts: tuple[str, ...]
    start: int
    label: str | None


def slider(
    values: Iterable[float | str],
    start: float | str | None = None,
    label: str | None = None,
    format: str | Callable[[Any], str] = "{:g}",
) -> Slider:
    """Describe one control of `explore`.

    Parameters
    ----------
    values
        The positions from left to right: numbers or strings.
    start
        The value shown first; the first of `values` by default.
    label
        What stands beside the slider, plain text; the name of the control by default.
    format
        How a number is written, as a format string or a function; strings stand for themselves.

    Examples
    --------
    >>> slider([0.5, 0.9, 1.1], start=0.9, label="weight w").texts
    ('0.5', '0.9', '1.1')
    """
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise TypeError(
            f"values must be a sequence of numbers or strings, not {type(values).__name__}: {values!r:.80}"
        )
    kept = tuple(_plain(value) for value in values)
    if not kept:
        raise ValueError("values is empty; a slider needs at least one position")
    if len(set(kept)) < len(kept):
        raise ValueError(
            f"values has {len(kept)} positions of which only {len(set(kept))} differ: {kept!r:.200}"
        )
    write = format.format if isinstance(format, str) else format
    try:
        texts = tuple(value if isinstance(value, str) else str(write(value)) for value in kept)
    except (TypeError, ValueError, LookupError) as error:
        raise ValueError(
            f"format {format!r} does not write the values, such as {kept[0]!r}: {error}"
        ) from None
    if len(set(texts)) < len(texts):
        raise ValueError(f"format {format!r} writes different values the same way: {', '.join(texts):.200}")
    if label is not None and (not isinstance(label, str) or not label.strip()):
        raise ValueError(f"label must be text, not {label!r}")
    return Slider(kept, texts, 0 if start is None else _position(kept, _plain(start, "start")), label)


def _plain(value: Any, name: str = "values") -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if not isinstance(value, (str, int, float)):
        raise TypeError(f"{name} must hold numbers or strings, not {type(value).__name__}: {value!r:.80}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, not {value!r}")
    return value


def _position(values: tuple[Any, ...], start: Any) -> int:
    for index, value in enumerate(values):
        # np.linspace gives 0.9000000000000001 where a person writes 0.9.
        if value == start or (
            not isinstance(value, str) and not isinstance(start, str) and math.isclose(value, start)
        ):
            return index
    raise ValueError(f"start must be one of values, not {start!r}: {values!r:.200}")
