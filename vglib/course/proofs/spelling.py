"""How things are spelt: many ways to write one sign, a letter with a bar, an index below the line."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["INSTEAD", "SUBSCRIPT", "Token", "printable", "tokens"]

Token = tuple[str, str, int]
"""Its kind, the word in plain signs, and its column, from 1."""

_SAME = {
    "·": "*", "×": "*", "∘": "*", "⊙": "*", "@": "*", "**": "^", "−": "-", "–": "-", "≠": "!=", "≥": ">=",
    "⩾": ">=", "≤": "<=", "²": "^2", "³": "^3", "ᵀ": ".T", "⊤": ".T", "′": "'", "’": "'", "∥": "‖", "||": "‖",
}  # fmt: skip
_GREEK = {
    "η": "eta", "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "θ": "theta", "λ": "lambda_",
    "σ": "sigma",
}  # fmt: skip
SUBSCRIPT = str.maketrans("ₜ₊₋₀₁₂₃₄₅₆₇₈₉", "t+-0123456789")
# Latin and Greek letters, some with a bar; not the small t of ᵀ and ₜ, which are letters to Python too.
_LETTER = "A-Za-zĀāĒēĪīŌōŪūȲȳḠḡΑ-Ωα-ω"
_TOKEN = re.compile(
    rf"(?P<space>\s+)|(?P<number>\d+(?:\.\d+)?)|(?P<name>[{_LETTER}]\u0304?(?:[{_LETTER}0-9_]\u0304?)*)"
    r"|(?P<index>[ₜ₊₋₀-₉]+)|(?P<transpose>\.T\b|\^\{?T\}?(?!\w)|ᵀ|⊤)"
    r"|(?P<sign>\*\*|==|!=|>=|<=|\|\||.)"
)
# What people write who mean something that is written otherwise here.
INSTEAD = {
    "\\": "no LaTeX here: write c_bar[t], norm(x), Q.T, eta",
    "∂": "a local derivative is written d(y, x)",
    "√": "a square root is written sqrt(…)",
    "<": "a product of two columns is written x.T*y",
    "⟨": "a product of two columns is written x.T*y",
}


def tokens(text: str) -> list[Token]:
    """Return the words of a text; the last is the end."""
    found: list[Token] = []
    for match in _TOKEN.finditer(text.replace("\n", " ")):
        kind, word, column = match.lastgroup or "", match.group(), match.start() + 1
        if kind == "name":
            word = _plain(word)
        elif kind in ("sign", "transpose"):
            word = ".T" if kind == "transpose" else _SAME.get(word, word)
        if word[:1] == "^" and len(word) > 1 and kind == "sign":  # ² and ³
            found += [("sign", "^", column), ("number", word[1:], column)]
        elif kind != "space":
            found.append((kind, word, column))
    return [*found, ("end", "the end", len(text) + 1)]


def _plain(word: str) -> str:
    """Return a name in ASCII: c̄ becomes c_bar and η becomes eta."""
    letters = unicodedata.normalize("NFD", word).replace("\u0304", "_bar")
    return "".join(_GREEK.get(letter, letter) for letter in letters)


def printable(text: str) -> str:
    """Return the text without halves of characters, which cannot be printed."""
    return text.encode("utf-8", "replace").decode()
