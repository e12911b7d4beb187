"""What is to be proved, for reading: in Jupyter as Markdown, elsewhere as plain text."""

from __future__ import annotations

from dataclasses import dataclass

from vglib.course.proofs.theorems import find
from vglib.course.proofs.theory import RULES, Fact

__all__ = ["Statement", "statement"]

_BAR = "\\|"


@dataclass(frozen=True)
class Statement:
    """A theorem to read; printed it is plain text."""

    markdown: str

    def _repr_markdown_(self) -> str:
        return self.markdown

    def __repr__(self) -> str:
        return self.markdown.replace("**", "").replace("`", "").replace(_BAR, "|")


def statement(theorem: str) -> Statement:
    """Return what is to be proved: symbols, definitions, hypotheses, the claim, and the rules of its proofs.

    Parameters
    ----------
    theorem
        Its name.

    Raises
    ------
    ValueError
        There is no such theorem.
    """
    about = find(theorem)
    symbols = [
        f"| `{name}{f'[{about.counts}]' if symbol.timed else ''}` | {symbol.meaning} |"
        for name, symbol in about.symbols.items()
        if not symbol.spare
    ]
    # A bar within a cell would end the cell.
    rules = [f"| {name} | {RULES[name].replace('|', _BAR)} |" for name in about.rules]
    parts = [
        f"**{about.title}.** {about.says}",
        f"**Writing:** {about.writing}",
        "\n".join(["| Symbol | Meaning |", "| --- | --- |", *symbols]),
        _facts("Definition", about.definitions),
        _facts("Hypothesis", about.hypotheses),
        _facts("To be shown", about.claims),
        "\n".join(["| Rule | What it lets you write |", "| --- | --- |", *rules]),
    ]
    return Statement("\n\n".join(part for part in parts if part))


def _facts(title: str, facts: tuple[Fact, ...]) -> str:
    listed = "; ".join(f"`{fact.text}`{f' ({fact.note})' if fact.note else ''}" for fact in facts)
    title = (
        {"Definition": "Definitions", "Hypothesis": "Hypotheses"}.get(title, title)
        if len(facts) > 1
        else title
    )
    return f"**{title}:** {listed}" if facts else ""
