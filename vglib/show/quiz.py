"""A question to answer before looking: plain HTML and CSS, no JavaScript."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from html import unescape
from importlib.resources import files

from vglib.show.page import Shown

__all__ = ["predict"]


def predict(
    question: str, options: Mapping[str, str], right: str, cue: str = "Predict before you look."
) -> Shown:
    """Ask the reader to predict something; the feedback appears once an option is chosen.

    Parameters
    ----------
    question
        What is asked. Inline HTML such as ``<em>``, ``<sub>`` or ``<code>`` is let through, so write
        ``&lt;`` for a less-than sign; ``$…$`` is not turned into mathematics.
    options
        For each option what to say to those who choose it; inline HTML as well.
    right
        The option, as it stands in `options`, that is right.
    cue
        Bold words before the question.

    Returns
    -------
    Shown
        What the notebook shows as the result of its cell.

    Examples
    --------
    >>> predict(
    ...     "How large is 0.9<sup>50</sup>?",
    ...     {"about 0.5": "That is 0.9<sup>7</sup>.", "about 0.005": "It halves every 6.6 steps."},
    ...     right="about 0.005",
    ... )
    predict: How large is 0.9^50?
    """
    if not isinstance(options, Mapping):
        raise TypeError(f"options must map each option to its feedback, not {type(options).__name__}")
    for name, text in [
        ("question", question),
        ("cue", cue),
        *((f"feedback of {key!r}", said) for key, said in options.items()),
    ]:
        if not isinstance(text, str):
            raise TypeError(f"{name} must be text, not {type(text).__name__}: {text!r:.80}")
        if not text.strip():
            raise ValueError(f"{name} is empty")
    if len(options) < 2:
        raise ValueError(f"options must hold at least two, not {len(options)}")
    for option in options:
        if not isinstance(option, str) or not option.strip():
            raise ValueError(f"options must be texts, not {option!r:.80}")
    if right not in options:
        raise ValueError(f"right must be one of the options, not {right!r}: {list(options)}")
    key = "vgq-" + sha256(repr((question, dict(options), right)).encode()).hexdigest()[:10]
    rows = []
    for index, (option, feedback) in enumerate(options.items()):
        verdict, kind = ("Right.", "right") if option == right else ("Not so.", "wrong")
        rows.append(
            f'<div class="vg-option"><input type="radio" name="{key}" id="{key}-{index}" autocomplete="off">'
            f'<label for="{key}-{index}">{option}</label>'
            # A live region that is there from the start is read out when its content appears.
            f'<div class="vg-said" aria-live="polite"><p class="vg-feedback vg-{kind}">'
            f"<strong>{verdict}</strong> {feedback}</p></div></div>"
        )
    style = files("vglib.show").joinpath("static/quiz.css").read_text(encoding="utf-8")
    legend = f'<legend><span class="vg-cue">{cue}</span> {question}</legend>'
    html = f'<style>{style}</style><fieldset class="vg-predict" id="{key}">{legend}{"".join(rows)}</fieldset>'
    plain = re.sub("<[^>]*>", "", question.replace("<sup>", "^").replace("<sub>", "_"))
    return Shown(html, f"predict: {unescape(plain):.70}")
