"""What a check says: a verdict for each step, and the first thing that is wrong."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Report", "Verdict"]


@dataclass(frozen=True)
class Verdict:
    """One step: is it right, and if not, why; `right` is None where it hangs on a step that is wrong."""

    number: int
    text: str
    rule: str
    right: bool | None
    why: str = ""


@dataclass(frozen=True)
class Report:
    """A checked proof.

    Parameters
    ----------
    theorem
        Its name.
    steps
        The verdicts; none if the proof could not be read.
    message
        The first thing that is wrong, as a sentence with the number of the step; empty if the proof is right.
    """

    theorem: str
    steps: tuple[Verdict, ...]
    message: str = ""

    @property
    def passed(self) -> bool:
        """Whether the proof is right."""
        return not self.message

    def __str__(self) -> str:
        width = max((len(step.text) for step in self.steps), default=0)
        marks = {True: "✓", False: "✗", None: "·"}
        lines = [
            f"{step.number:3d} {marks[step.right]} {step.text:<{min(width, 76)}s}  {step.rule}"
            for step in self.steps
        ]
        return "\n".join([*lines, self.message or "The proof is right."])
