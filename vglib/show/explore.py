"""Figures with sliders: drawn beforehand in the built book, drawn while you watch in JupyterLab."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from vglib.show.controls import Slider, slider
from vglib.show.page import Alt, Shown, check_count, static
from vglib.show.svg import check_draw

__all__ = ["explore", "picture"]


def explore(
    draw: Callable[..., Any],
    *,
    alt: Alt,
    size: tuple[float, float] = (6.4, 3.6),
    panels: tuple[int, int] = (1, 1),
    title: str | None = None,
    **controls: Slider | Iterable[float | str],
) -> Any:
    """Show a figure that the reader changes with sliders.

    In JupyterLab the figure is drawn anew for each position. While the book is built (environment
    variable ``VGLIB_STATIC`` set) all positions are drawn beforehand, so that the page needs neither
    Python nor the network.

    Parameters
    ----------
    draw
        Function ``draw(ax, **values)`` that draws with matplotlib; with several panels it gets the
        array of axes that ``Figure.subplots`` gives. It should set its limits, or the axes move.
    alt
        What is seen, for those who do not see it: text, or a function of the values that returns it.
    size
        Width and height in inches.
    panels
        Rows and columns of axes.
    title
        A line above the figure, plain text.
    **controls
        One `slider`, or a plain sequence of values, for each further parameter of `draw`.

    Returns
    -------
    Shown or ipywidgets.VBox
        What the notebook shows as the result of its cell.

    Raises
    ------
    ValueError, TypeError
        When an argument does not fit, or there are more than 400 frames or 3 MB of them.
        Whatever `draw` raises for the first frame comes through, so that a broken figure breaks the build.

    Examples
    --------
    >>> def powers(ax, w):
    ...     ax.plot([w**t for t in range(20)])
    ...     ax.set_ylim(0, 2)
    >>> figure = explore(powers, w=[0.5, 0.9, 1.0], alt="Powers of w against the step.")
    """
    made = {name: _control(name, given) for name, given in controls.items()}
    check_draw(draw, made)
    if not made:
        raise ValueError("explore needs at least one control, such as w=slider([0.5, 0.9]); else use picture")
    _check_texts(alt, title, size, panels)
    check_count(made)
    if os.environ.get("VGLIB_STATIC"):
        return static(draw, alt, size, panels, title, made)
    from vglib.show import live

    return live.box(draw, alt, size, panels, title, made)


def picture(
    draw: Callable[..., Any],
    *,
    alt: Alt,
    size: tuple[float, float] = (6.4, 3.6),
    panels: tuple[int, int] = (1, 1),
    title: str | None = None,
) -> Shown:
    """Show a figure without controls; the parameters are those of `explore`."""
    check_draw(draw, ())
    _check_texts(alt, title, size, panels)
    return static(draw, alt, size, panels, title, {})


def _control(name: str, given: Any) -> Slider:
    if isinstance(given, Slider):
        return given
    try:
        return slider(given)
    except (TypeError, ValueError) as error:
        raise type(error)(f"control {name}: {error}") from None


def _check_texts(alt: Alt, title: str | None, size: Any, panels: Any) -> None:
    for name, value in {"alt": alt, "title": title, "size": size, "panels": panels}.items():
        if isinstance(value, Slider):
            raise TypeError(f"{name} is a setting of the figure, so no control can have that name")
    if not callable(alt) and not isinstance(alt, str):
        raise TypeError(
            f"alt must be text or a function of the values, not {type(alt).__name__}: {alt!r:.80}"
        )
    if isinstance(alt, str) and not alt.strip():
        raise ValueError("alt is empty; it must say what is seen in the figure")
    if title is not None and (not isinstance(title, str) or not title.strip()):
        raise ValueError(f"title must be text, not {title!r:.80}")
