"""A figure as HTML: every position of its sliders drawn beforehand, for a page without Python."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any

from vglib.show.controls import Slider
from vglib.show.svg import frame, pack, prefixed

__all__ = ["MAX_BYTES", "MAX_FRAMES", "Alt", "Shown", "described", "figure_html", "static", "stylesheet"]

MAX_FRAMES = 400
MAX_BYTES = 3_000_000

Alt = str | Callable[..., str]


@dataclass(frozen=True)
class Shown:
    """A piece of HTML that a notebook shows; the same on every run."""

    html: str
    summary: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.summary


def described(alt: Alt, values: Mapping[str, Any]) -> str:
    """Return the description of the frame for `values`."""
    text = alt if isinstance(alt, str) else alt(**values)
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"alt must return a description for {dict(values)}, not {text!r}")
    return " ".join(text.split())


def figure_html(
    svg: str,
    alt: str,
    *,
    key: str,
    size: Sequence[float],
    title: str | None,
    inside: str = "",
    attributes: str = "",
) -> str:
    """Return the ``figure`` element around one SVG; `inside` follows the stage."""
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1)
    heading = f'<p class="vg-title">{escape(title)}</p>' if title else ""
    ratio = f"{size[0]:g} / {size[1]:g}"
    named = f' id="{key}"' if key else ""
    stage = f'<div class="vg-stage" style="aspect-ratio:{ratio}">{svg}</div>'
    width = f' style="--vg-width:{size[0]:g}"'
    return f'<figure class="vg-explore"{named}{width}{attributes}>{heading}{stage}{inside}</figure>'


def stylesheet() -> str:
    """Return the style sheet as an element, for places where no page has loaded it."""
    return f"<style>{files('vglib.show').joinpath('static/explore.css').read_text(encoding='utf-8')}</style>"


def check_count(controls: Mapping[str, Slider]) -> None:
    """Raise ValueError when the controls make more frames than a page should hold."""
    count = math.prod(len(control.values) for control in controls.values())
    if count > MAX_FRAMES:
        raise ValueError(f"the controls make {count} frames, more than {MAX_FRAMES}; {_longest(controls)}")


def _longest(controls: Mapping[str, Slider]) -> str:
    if not controls:
        return "draw fewer points"
    name = max(controls, key=lambda name: len(controls[name].values))
    return f"control {name} has {len(controls[name].values)} values: give it fewer"


def static(
    draw: Callable[..., Any],
    alt: Alt,
    size: tuple[float, float],
    panels: tuple[int, int],
    title: str | None,
    controls: dict[str, Slider],
) -> Shown:
    """Return the figure with all positions of its controls drawn, as ``explore.js`` shows them."""
    starts = tuple(control.start for control in controls.values())
    positions = list(itertools.product(*(range(len(control.values)) for control in controls.values())))
    chosen = [
        {name: control.values[at] for (name, control), at in zip(controls.items(), position, strict=True)}
        for position in positions
    ]
    first = positions.index(starts)
    drawn = {first: frame(draw, chosen[first], size, panels)}
    for index, values in enumerate(chosen):
        if index not in drawn:
            try:
                drawn[index] = frame(draw, values, size, panels)
            except Exception as error:
                error.add_note(f"explore: while drawing the frame for {values}")
                raise
    frames = [drawn[index] for index in range(len(chosen))]
    alts = [described(alt, values) for values in chosen]
    # Named by its content: no counter and no random name, so the page is the same on every build.
    named = json.dumps([frames, alts, title, {name: (c.texts, c.label) for name, c in controls.items()}])
    key = f"vg-{sha256(named.encode()).hexdigest()[:10]}"
    frames = [prefixed(text, f"{key}-") for text in frames]
    inside = attributes = ""
    if controls:
        inside = _controls_html(key, controls) + _data_html(frames, alts, controls)
        attributes = (
            f' role="group" aria-label="{escape(title or "Figure with " + _names(controls))}"'
            f' data-values="{escape(json.dumps(chosen[first], separators=(",", ":")))}"'
        )
    html = figure_html(
        frames[first], alts[first], key=key, size=size, title=title, inside=inside, attributes=attributes
    )
    if not os.environ.get("VGLIB_STATIC"):
        html = stylesheet() + html
    megabytes = len(html.encode()) / 1e6
    if megabytes > MAX_BYTES / 1e6:
        raise ValueError(
            f"the figure takes {megabytes:.1f} MB, more than {MAX_BYTES / 1e6:g} MB; {_longest(controls)}"
        )
    kind = "explore" if controls else "picture"
    return Shown(html, f"{kind}({getattr(draw, '__name__', 'draw')}): {alts[first]:.70}")


def _names(controls: Mapping[str, Slider]) -> str:
    labels = [control.label or name for name, control in controls.items()]
    return f"{'slider' if len(labels) == 1 else 'sliders'}: {', '.join(labels)}"


def _controls_html(key: str, controls: Mapping[str, Slider]) -> str:
    rows = []
    for name, control in controls.items():
        named, text = f"{key}-{escape(name)}", escape(control.texts[control.start])
        last, widest = len(control.values) - 1, max(len(text) for text in control.texts)
        rows.append(
            f'<div class="vg-control"><label for="{named}">{escape(control.label or name)}</label>'
            f'<input type="range" id="{named}" name="{escape(name)}" min="0" max="{last}" step="1"'
            f' value="{control.start}" autocomplete="off" aria-valuetext="{text}"'
            f' style="--vg-at:{control.start / max(1, last):g}">'
            # The slider's own value text is spoken; spoken twice it would be noise.
            f'<output for="{named}" aria-live="off" style="min-width:{widest}ch">{text}</output></div>'
        )
    return f'<div class="vg-controls">{"".join(rows)}</div>'


def _data_html(frames: Sequence[str], alts: Sequence[str], controls: Mapping[str, Slider]) -> str:
    lines, runs = pack(frames)
    distinct = list(dict.fromkeys(alts))
    data = {
        "controls": [
            {"name": name, "values": control.values, "texts": control.texts}
            for name, control in controls.items()
        ],
        "lines": lines,
        "frames": runs,
        "alts": distinct,
        "alt": [distinct.index(alt) for alt in alts] if len(distinct) > 1 else [],
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    # Inside a script element only these two would end the data early.
    text = text.replace("</", "<\\/").replace("<!--", "\\u003c!--")
    return f'<script type="application/json" class="vg-data">{text}</script>'
