"""What a page shows: figures, figures with sliders, questions to answer before looking."""

from vglib.show.controls import slider
from vglib.show.explore import explore, picture
from vglib.show.gates import gates
from vglib.show.quiz import predict
from vglib.show.style import COLORS, DIVERGING, INK, PAPER, SEQUENTIAL, style
from vglib.show.svg import frame

__all__ = [
    "COLORS",
    "DIVERGING",
    "INK",
    "PAPER",
    "SEQUENTIAL",
    "explore",
    "frame",
    "gates",
    "picture",
    "predict",
    "slider",
    "style",
]
