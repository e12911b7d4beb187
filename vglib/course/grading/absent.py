"""Stands in the sandbox where `vglib.course.checks` is elsewhere: checks never enter it."""

from vglib.course.calling import CheckFailed

__all__ = ["CheckFailed", "self_check"]


def self_check(topic: str, task: str, names: object = None) -> None:
    """Say that a task is checked outside."""
    print(f"{topic}, {task}: checked by the grader.")
