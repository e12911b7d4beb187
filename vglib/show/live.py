"""A figure with sliders in JupyterLab: each position is drawn when the reader gets there."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from vglib.show.controls import Slider
from vglib.show.page import Alt, described, figure_html, stylesheet
from vglib.show.svg import frame

__all__ = ["box"]


def box(
    draw: Callable[..., Any],
    alt: Alt,
    size: tuple[float, float],
    panels: tuple[int, int],
    title: str | None,
    controls: Mapping[str, Slider],
) -> Any:
    """Return an ``ipywidgets.VBox``: a style sheet, the figure, and one slider a control.

    The first frame is drawn at once and its errors come through. Later ones are shown in place of
    the figure, for a widget's callback has no cell that could fail.
    """
    import ipywidgets as widgets

    sliders = {
        name: widgets.SelectionSlider(
            options=list(zip(control.texts, control.values, strict=True)),
            index=control.start,
            description=control.label or name,
            style={"description_width": "initial"},
            layout=widgets.Layout(width="95%", max_width="40rem"),
        )
        for name, control in controls.items()
    }

    def html() -> str:
        values = {name: made.value for name, made in sliders.items()}
        svg = frame(draw, values, size, panels)
        return figure_html(svg, described(alt, values), key="", size=size, title=title)

    shown = widgets.HTML(html())

    def redraw(_: Any) -> None:
        try:
            shown.value = html()
        except Exception:
            shown.value = f'<pre class="vg-error" role="alert">{escape(traceback.format_exc())}</pre>'

    for made in sliders.values():
        made.observe(redraw, names="value")
    return widgets.VBox([widgets.HTML(stylesheet()), shown, *sliders.values()])
