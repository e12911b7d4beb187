"""The learner's side: the text of one equation in, a plain tree out. Nothing is evaluated."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from vglib.course.proofs.spelling import INSTEAD, SUBSCRIPT, Token, printable, tokens
from vglib.course.proofs.trees import MAX_DEPTH, RELATIONS, Tree, check_tree

__all__ = ["ProofError", "parse"]

MAX_TEXT = 400
_INDEX = re.compile(r"\s*(?:(?P<zero>0)|(?P<letter>[tq])\s*(?:(?P<sign>[+−-])\s*(?P<by>\d))?)\s*\Z")
_EXPONENT = re.compile(r"(?P<number>-?\d+)\Z|(?:(?P<first>\d)\+)?q(?:\+(?P<by>\d))?\Z")
# Left and right binding powers of what stands between two operands.
_BETWEEN = {"+": 1, "-": 1, "*": 3, "/": 3}


class ProofError(ValueError):
    """A step that cannot be read: which one, where, and why.

    Parameters
    ----------
    detail : str
        What was expected and what came.
    step : int or None
        Number of the step, from 1.
    text : str
        What was to be read.
    column : int or None
        Place in `text`, from 1.
    """

    def __init__(self, detail: str, step: int | None = None, text: str = "", column: int | None = None):
        self.detail, self.step, self.text, self.column = detail, step, text, column
        where = f"step {step}" if step else "the proof"
        if column:
            # A combining bar takes no room of its own under which the caret could slip.
            room = sum(not unicodedata.combining(sign) for sign in text[: column - 1])
            where += f", column {column}"
            detail = f"{detail}\n    {text}\n    {' ' * room}^"
        super().__init__(f"{where}: {detail}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.detail, self.step, self.text, self.column)


def parse(text: str, step: int | None = None) -> Tree:
    """Return the tree of one equation, or of one of ``!=``, ``>``, ``>=``, ``<``, ``<=``.

    Parameters
    ----------
    text
        Such as ``"c[t+1] = f[t+1]*c[t] + i[t+1]*g[t+1]"``.
    step
        Its number, for messages.

    Raises
    ------
    ProofError
        With the column at which reading failed.
    """
    tree = _Reader(text, step).relation()
    try:
        check_tree(tree)
    except ValueError as error:
        raise ProofError(f"{error}.", step) from None
    return tree


class _Reader:
    """Pratt's way of reading: each operator knows how tightly it binds."""

    def __init__(self, text: str, step: int | None):
        if len(text) > MAX_TEXT:
            raise ProofError(f"the equation has {len(text)} characters; at most {MAX_TEXT}.", step)
        text = printable(text)
        self.text, self.step, self.depth, self.at = text, step, 0, 0
        self.tokens = tokens(text)

    def fail(self, detail: str, column: int | None = None) -> ProofError:
        return ProofError(detail, self.step, self.text, column or self.tokens[self.at][2])

    def peek(self) -> str:
        kind, word, _ = self.tokens[self.at]
        return "end" if kind == "end" else word

    def take(self) -> Token:
        token = self.tokens[self.at]
        self.at += token[0] != "end"
        return token

    def expect(self, word: str, opened: int) -> None:
        if self.peek() != word:
            kind, came, _ = self.tokens[self.at]
            if kind in ("name", "number") or came == "(":
                raise self.fail(self.stray())
            came = came if kind == "end" else f"`{came}`"
            raise self.fail(f"`{word}` is missing here, for what opens in column {opened}; {came} came.")
        self.take()

    def relation(self) -> Tree:
        left = self.sum(0)
        sign = self.peek()
        if sign == "end":
            raise self.fail("a step is an equation: left = right.")
        if sign == "==":
            raise self.fail("write a single `=`: the step states an equation, it compares nothing.")
        if sign not in RELATIONS:
            raise self.fail(self.stray())
        self.take()
        right = self.sum(0)
        if self.peek() in (*RELATIONS, "=="):
            raise self.fail("one equation a step: write the second one as a step of its own.")
        if self.peek() != "end":
            raise self.fail(self.stray())
        return [sign, left, right]

    def stray(self) -> str:
        kind, word, _ = self.tokens[self.at]
        if word in (")", "]"):
            return f"`{word}` closes nothing."
        if word == "(" and self.at > 2 and self.tokens[self.at - 2][1] == "^":
            return (
                "a sign is missing before this; the power of a function comes after its brackets: tanh(…)^2."
            )
        if kind in ("name", "number") or word in ("(", "‖", "|"):
            return "a sign is missing before this; a product needs its `*`."
        return f"`{word}` has no meaning here. {self.instead(word)}".rstrip()

    def instead(self, word: str) -> str:
        """Say what to write instead of a sign."""
        if word in INSTEAD:
            text = INSTEAD[word]
            return f"{text[0].upper()}{text[1:]}."
        if len(word) == 1 and ord(word) > 127 and word.isalpha():
            return f"It is {unicodedata.name(word, 'an unknown letter')}: no letter of this theorem."
        return ""

    def sum(self, bound: int) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail("the brackets are too deep: split the equation.")
        left = self.operand()
        while self.peek() in _BETWEEN and _BETWEEN[self.peek()] > bound:
            sign = self.take()[1]
            left = [sign, left, self.sum(_BETWEEN[sign])]
        self.depth -= 1
        return left

    def operand(self) -> Tree:
        kind, word, column = self.take()
        if word == "-" and kind == "sign":
            inner = self.sum(2)
            return -inner if type(inner) is int else ["neg", inner]
        if word == "+" and kind == "sign":
            return self.sum(2)
        if kind == "number":
            whole, _, part = word.partition(".")
            found: Tree = int(whole + part) if not part else ["/", int(whole + part), 10 ** len(part)]
        elif kind == "name":
            found = self.named(word, column)
        elif word in ("(", "[", "‖", "|"):
            found = self.sum(0)
            self.expect({"(": ")", "[": "]"}.get(word, word), column)
            found = (
                ["call", "norm", found] if word == "‖" else ["call", "abs", found] if word == "|" else found
            )
        else:
            came = word if kind == "end" else f"`{word}`"
            detail = f"a symbol, a number or a bracket is wanted here; {came} came."
            raise self.fail(f"{detail} {self.instead(word)}".rstrip(), column)
        return self.powers(found)

    def named(self, word: str, column: int) -> Tree:
        kind, sign, opened = self.tokens[self.at]
        if sign == "'" and kind == "sign":
            self.take()
            word, (kind, sign, opened) = f"{word}_new", self.tokens[self.at]
            if sign == "(":
                raise self.fail("a sign is missing before this; a derivative is written d(y, x).")
        if kind == "index":
            self.take()
            return self.index(word, sign.translate(SUBSCRIPT), opened)
        if word.endswith("_") and sign == "{":  # as in LaTeX
            word, sign = word[:-1], "["
        if sign == "[" and kind == "sign":
            closing = {"[": "]", "{": "}"}[self.take()[1]]
            start = self.tokens[self.at][2]
            while self.peek() not in (closing, "end", "=", "[", "("):
                self.take()
            if self.peek() in ("=", "[", "(", "end"):
                self.expect(closing, opened)
            inside = self.text[start - 1 : self.tokens[self.at][2] - 1]
            self.take()
            return self.index(word, inside, start)
        if sign == "(" and kind == "sign":
            self.take()
            items = [self.sum(0)]
            while self.peek() == ",":
                self.take()
                items.append(self.sum(0))
            self.expect(")", opened)
            return ["call", word, *items]
        return ["symbol", word]

    def index(self, word: str, inside: str, column: int) -> Tree:
        match = _INDEX.match(inside)
        if not match:
            raise self.fail(f"a step in time is t, t+1 or t-1; {inside.strip()!r} came.", column)
        if match["zero"]:
            return ["start", word]
        by = int(match["by"] or 0)
        by = -by if match["sign"] in ("-", "−") else by
        if match["letter"] == "t":
            return ["at", word, by]
        if by < 0:
            raise self.fail("steps back are counted up, from q to q+1, for q-1 is none at q = 0.", column)
        return ["step", word, by]

    def powers(self, found: Tree) -> Tree:
        while self.peek() in ("^", ".T"):
            if self.take()[1] == ".T":
                found = ["T", found]
                continue
            found = self.exponent(found)
        return found

    def exponent(self, base: Tree) -> Tree:
        """Read 2, -1, q, (q+1) or {q+1} after ^."""
        _, opening, column = self.tokens[self.at]
        closing = {"(": ")", "{": "}"}.get(opening)
        words = ""
        if closing:
            self.take()
            while self.peek() not in (closing, "end", "(", "{"):
                words += self.take()[1]
            self.expect(closing, column)
        else:
            words = self.take()[1]
            words += self.take()[1] if words == "-" else ""
        match = _EXPONENT.match(words)
        if not match:
            raise self.fail("an exponent is a whole number, or q or q+1.", column)
        if match["number"]:
            return ["^", base, int(match["number"])]
        return ["raise", base, int(match["by"] or match["first"] or 0)]
