"""From the command line to a grading run: options, workers, and no grading where it is not safe."""

from __future__ import annotations

import argparse
import io
import os
import sys

from vglib.course.checkout import CannotRunError, require, root
from vglib.course.checks.topic import NAMES
from vglib.course.fan_out import Workers

__all__ = ["run"]


def run(arguments: argparse.Namespace) -> int:
    """Carry out ``vglib grade`` with parsed arguments and return the exit code.

    Raises
    ------
    CannotRunError
        Nothing is graded; the message says why.
    """
    if not __debug__:
        raise CannotRunError("checks are assertions, which python -O (PYTHONOPTIMIZE) removes: do without")
    if not sys.platform.startswith("linux"):
        raise CannotRunError("grading needs Linux: its sandbox is made of namespaces of the Linux kernel")
    require("grading", "pyseccomp", "IPython", "sympy")
    from vglib.course.grading.probe import probe, report

    if arguments.probe:
        return 0 if report(probe(secret=arguments.folder), print) else 3
    if arguments.folder is None:
        raise CannotRunError("which folder? python -m vglib grade FOLDER")
    folder = arguments.folder.resolve()
    course = arguments.course or folder.parent / f"{folder.name}-graded"
    unknown = sorted(set(arguments.topic) - set(NAMES))
    if unknown:
        raise CannotRunError(f"there is no topic {', '.join(unknown)}; topics: {', '.join(NAMES)}")
    exercises = arguments.exercises or root() / "exercises"
    if arguments.unsafe_no_sandbox:
        print("Without a sandbox: the submissions run with your rights.", file=sys.stderr)
    elif arguments.scheduler is None:
        # Each run proves anew that the wall stands; on a cluster each worker has a wall of its own.
        bad = [one for one in probe(secret=exercises, quick=True) if one.problem]
        if bad:
            reasons = "\n".join(f"  {one.name}: {one.problem}" for one in bad)
            raise CannotRunError(
                f"this machine has no safe sandbox, so nothing is graded:\n{reasons}\n"
                "What to do about it: python -m vglib grade --probe"
            )
    from vglib.course.grading.command import run as grade_all
    from vglib.course.grading.options import Options

    for stream in (sys.stdout, sys.stderr):
        # Names are of all alphabets, and a terminal may know one of them.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    return grade_all(
        Options(
            submissions=folder,
            course=course,
            exercises=exercises,
            workers=_workers(arguments),
            url=arguments.gradebook,
            only=tuple(arguments.topic),
            again=arguments.again,
            feedback=not arguments.no_feedback,
            unsafe=arguments.unsafe_no_sandbox,
        )
    )


def _workers(arguments: argparse.Namespace) -> Workers:
    if arguments.scheduler is not None:
        require("grading", "distributed")
        from vglib.course.cluster import Dask

        return Dask(arguments.scheduler)
    from vglib.course.workers import Processes

    return Processes(arguments.jobs or len(os.sched_getaffinity(0)))
