"""Formulas of the course's text as MathML: a page shows them without a script and without a network."""

from __future__ import annotations

import re

__all__ = ["with_formulas"]

# Code comes first, so that a dollar within it stays one.
_PARTS = re.compile(
    r"(?P<code>```.*?```|`[^`\n]+`)"
    r"|\$\$(?P<display>.+?)\$\$"
    r"|\$(?P<inline>[^\s$](?:[^$\n]*?[^\s$])?)\$",
    re.S,
)


def with_formulas(markdown: str) -> str:
    r"""Return Markdown with its formulas, ``$…$`` and ``$$…$$``, as MathML; what has no MathML stays TeX.

    Parameters
    ----------
    markdown
        The course's own: what is in it reaches the page as it is.

    Examples
    --------
    >>> with_formulas("`$x$` is $x$")[:21]
    '`$x$` is <math xmlns='
    """
    return _PARTS.sub(_formula, markdown)


def _formula(found: re.Match[str]) -> str:
    from latex2mathml.converter import convert

    if found["code"]:
        return found[0]
    block = found["display"] is not None
    try:
        tex = found["display"] if block else found["inline"]
        # The converter knows this environment by its other name.
        formula = convert(tex.replace("{aligned}", "{align*}"), display="block" if block else "inline")
    except Exception:  # the converter has an exception for each thing that it does not know
        return found[0]
    return f'\n\n<div style="overflow-x: auto">{formula}</div>\n\n' if block else formula
