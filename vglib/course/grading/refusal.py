"""Stands where nbgrader's own autograder would begin: it runs strangers' code without a sandbox."""

from __future__ import annotations

from typing import Any

from nbgrader.preprocessors import NbGraderPreprocessor

__all__ = ["Refusal"]


class Refusal(NbGraderPreprocessor):
    """A preprocessor that lets nothing through."""

    def preprocess(self, nb: Any, resources: Any) -> Any:
        """Refuse."""
        raise RuntimeError(
            "this course is graded in a sandbox: python -m vglib grade FOLDER. "
            "nbgrader's own autograder would run the submissions with your rights"
        )
