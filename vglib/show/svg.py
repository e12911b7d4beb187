"""From a drawing function to a small SVG that belongs to the page it stands on."""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from vglib.show.style import INK, PAPER, style

__all__ = ["frame", "join", "pack", "prefixed", "tidy"]

# Left, right, bottom and top of each panel in inches: the same in every frame, so that the axes stand still.
_MARGINS = (0.98, 0.16, 0.68, 0.42)

_ATTRIBUTE = re.compile(r'([\w:-]+)="([^"]*)"')
_ID = re.compile(r'\s+id="([^"]*)"')
_TAG = re.compile(r"(<[^>]*>)")
_NAME = re.compile(r"(?<=\s)id='|href='#|url\(#")
_NUMBER = re.compile(r"-?\d*\.\d+(?:e[-+]?\d+)?")
_REFERENCE = re.compile(r"""(?:href=["']#|url\(#)([^"')]+)""")
_TRANSFORM = re.compile(r"(translate|rotate)\(([^)]*)\)")
_ROUNDED = {"d", "x", "y", "cx", "cy", "r", "x1", "x2", "y1", "y2", "width", "height", "points"}


def frame(
    draw: Callable[..., Any],
    values: Mapping[str, Any] | None = None,
    size: tuple[float, float] = (6.4, 3.6),
    panels: tuple[int, int] = (1, 1),
    *,
    prefix: str = "",
) -> str:
    """Return the SVG that `draw` gives for `values`, as `explore` and `picture` show it.

    Parameters
    ----------
    draw
        Function ``draw(ax, **values)``; with more than one panel it gets the array of axes that
        ``Figure.subplots`` gives.
    values
        One value for each control. With values the axes stand where they always stand, so that
        they do not move from frame to frame; without, they are fitted to their labels.
    size
        Width and height in inches; at 6.4 inches the text reads well on a telephone.
    panels
        Rows and columns of axes.
    prefix
        Put before each ``id``; a figure on a page uses its own ``id`` and a hyphen.

    Returns
    -------
    str
        One element a line, without dates or random names: the same input gives the same text.
    """
    given = dict(values or {})
    check_draw(draw, given)
    width, height = _pair("size", size, float)
    rows, columns = _pair("panels", panels, int)
    with style():
        figure = Figure(figsize=(width, height))
        canvas = FigureCanvasSVG(figure)
        axes = figure.subplots(rows, columns)
        if given:
            _stand_still(figure, rows, columns)
        else:
            figure.set_layout_engine("constrained")
        draw(axes, **given)
        written = io.StringIO()
        canvas.print_svg(written, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return prefixed(tidy(written.getvalue()), prefix)


def _stand_still(figure: Figure, rows: int, columns: int) -> None:
    width, height = figure.get_size_inches()
    left, right, bottom, top = _MARGINS
    panel_width = width / columns - left - right
    panel_height = height / rows - bottom - top
    if min(panel_width, panel_height) <= 0:
        raise ValueError(
            f"size {width:g} x {height:g} inches leaves no room for panels {rows} x {columns}: "
            f"each needs more than {left + right:g} x {bottom + top:g}"
        )
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        bottom=bottom / height,
        top=1 - top / height,
        wspace=(left + right) / panel_width,
        hspace=(bottom + top) / panel_height,
    )


def check_draw(draw: Callable[..., Any], names: Iterable[str]) -> None:
    """Raise TypeError unless `draw` can be called with axes and the controls in `names`."""
    if not callable(draw):
        raise TypeError(f"draw must be a function draw(ax, ...), not {type(draw).__name__}: {draw!r:.80}")
    try:
        signature = inspect.signature(draw)
    except ValueError:  # Written in C: nothing to compare with.
        return
    try:
        signature.bind(None, **dict.fromkeys(names))
    except TypeError as error:
        name = getattr(draw, "__name__", "draw")
        raise TypeError(
            f"draw is {name}{signature}, which does not take axes and the controls {sorted(names)}: {error}"
        ) from None


def _pair(name: str, given: Any, kind: type) -> tuple[Any, Any]:
    expected = "two whole numbers" if kind is int else "two numbers of inches"
    problem = f"{name} must be {expected} above 0, not {given!r:.80}"
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
        raise TypeError(problem)
    try:
        pair = tuple(kind(part) for part in given)
    except (TypeError, ValueError):
        raise TypeError(problem) from None
    if any(part != whole or not 0 < part < 1000 for part, whole in zip(pair, given, strict=True)):
        raise ValueError(problem)
    return pair[0], pair[1]


def _round(match: re.Match[str]) -> str:
    # Two decimals of a point are a fortieth of a pixel on a telephone, a seventieth of a millimetre in print.
    text = f"{float(match[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _attribute(match: re.Match[str]) -> str:
    name, value = match[1], " ".join(match[2].split())
    if name == "xlink:href":
        name = "href"
    if name in _ROUNDED:
        value = _NUMBER.sub(_round, value)
    elif name == "transform":
        value = _TRANSFORM.sub(lambda part: f"{part[1]}({_NUMBER.sub(_round, part[2])})", value)
    elif name == "style":
        value = value.replace(": ", ":").replace("; ", ";").rstrip(";")
    value = (
        value.replace(INK, "currentColor")
        .replace("#000000", "currentColor")
        .replace(PAPER, "var(--vg-paper,#fff)")
    )
    return f"{name}='{value.replace(chr(39), '&#39;')}'"


def tidy(svg: str) -> str:
    """Make matplotlib's SVG small and let it take the colours of its page.

    Numbers are rounded inside attributes alone, never in text; `INK` and black become ``currentColor``;
    the prologue, comments and ids that nothing refers to go. One element a line is left.
    """
    start = svg.index("<svg")
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg[start:], flags=re.DOTALL)
    used = set(_REFERENCE.findall(svg))
    lines: list[str] = []
    after_text = False
    for piece in _TAG.split(svg):
        if not piece.startswith("<"):
            after_text = bool(piece.strip())
            if after_text:
                lines[-1] += piece
            continue
        named = _ID.search(piece)
        if named and named[1] not in used:
            piece = piece[: named.start()] + piece[named.end() :]
        piece = _ATTRIBUTE.sub(_attribute, piece)
        if after_text:
            lines[-1] += piece
        else:
            lines.append(piece)
        after_text = False
    # What matplotlib says in a style sheet for every element of the document, here for this figure alone.
    box = re.search(r"viewBox='[^']*'", lines[0])
    assert box, "matplotlib wrote an SVG without a viewBox"
    # It leaves out a black fill, SVG's default; here black is ink.
    general = "fill:currentColor;stroke-linejoin:round;stroke-linecap:butt"
    lines[0] = f"<svg xmlns='http://www.w3.org/2000/svg' {box[0]} style='{general}'>"
    return "\n".join(_without_empty_groups(lines))


def _without_empty_groups(lines: list[str]) -> list[str]:
    kept: list[str] = []
    bare: list[bool] = []
    for line in lines:
        if line in ("<g/>", "<defs/>"):
            continue
        if line == "</defs>" and kept[-1] == "<defs>":
            kept.pop()
            continue
        if line.startswith("<g") and not line.endswith("/>"):
            bare.append(line == "<g>")
            if bare[-1]:
                continue
        elif line == "</g>" and bare.pop():
            continue
        kept.append(line)
    return kept


def prefixed(svg: str, prefix: str) -> str:
    """Put `prefix` before every id and every reference to one, so that two figures cannot mix them up."""
    if not prefix:
        return svg
    return _TAG.sub(lambda tag: _NAME.sub(lambda name: name[0] + prefix, tag[0]), svg)


def pack(frames: Sequence[str]) -> tuple[list[str], list[list[int]]]:
    """Store each distinct line of `frames` once.

    Returns
    -------
    lines, runs
        The distinct lines in order of appearance; for each frame, ``[start, stop, start, stop, …]``
        into them. `join` puts a frame together again.
    """
    numbers: dict[str, int] = {}
    packed = []
    for text in frames:
        runs: list[int] = []
        for line in text.split("\n"):
            number = numbers.setdefault(line, len(numbers))
            if runs and runs[-1] == number:
                runs[-1] += 1
            else:
                runs += [number, number + 1]
        packed.append(runs)
    return list(numbers), packed


def join(lines: Sequence[str], runs: Sequence[int]) -> str:
    """Put one frame of `pack` together again; ``explore.js`` does the same in the page."""
    return "\n".join(line for a, b in zip(runs[::2], runs[1::2], strict=True) for line in lines[a:b])
