"""What an instructor asked for, and whether it can be had without showing submissions what is not theirs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vglib.course.checkout import CannotRunError
from vglib.course.fan_out import Workers
from vglib.course.grading.sandbox import exposed

__all__ = ["Options", "must_be_apart"]


@dataclass(frozen=True)
class Options:
    """What an instructor asked for.

    Attributes
    ----------
    submissions, course, exercises : Path
        Folders: what was handed in, where the marks go, the exercises with solutions.
    workers : Workers
        Where submissions are graded.
    url : str or None
        Of the gradebook.
    only : tuple of str
        Topics; all if empty.
    again : bool
        Grade also what has been graded.
    feedback : bool
        Make pages for the learners.
    unsafe : bool
        Run strangers' code without a sandbox.
    """

    submissions: Path
    course: Path
    exercises: Path
    workers: Workers
    url: str | None = None
    only: tuple[str, ...] = ()
    again: bool = False
    feedback: bool = True
    unsafe: bool = False


def must_be_apart(options: Options) -> None:
    """See to it that marks lie apart from submissions, and that no submission can look at either.

    Raises
    ------
    CannotRunError
        They do not.
    """
    submissions, course = options.submissions.resolve(), options.course.resolve()
    if submissions == course or submissions in course.parents:
        raise CannotRunError(f"the course folder {course} must not lie among the submissions")
    if options.unsafe:
        return
    for path in (submissions, course, options.exercises):
        folder = exposed(path)
        if folder is not None:
            raise CannotRunError(
                f"{path} lies in {folder}, which submissions can read in the sandbox: move it elsewhere"
            )
