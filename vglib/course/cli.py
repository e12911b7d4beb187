"""The command line: ``python -m vglib``."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vglib.course.reproductions import NAMES
from vglib.version import __version__

_EPILOG = """\
exit codes:
  0  done
  1  something failed: a page, a test, a benchmark; a submission was not graded
  2  the command line was wrong
  3  the command cannot run here: no checkout, a package is missing; grading: no sandbox, a damaged
     configuration, no room on the disk, no database
"""


def parser() -> argparse.ArgumentParser:
    """Build the parser; each command names the function that runs it."""
    top = argparse.ArgumentParser(
        prog="vglib",
        description="Build, test and open the course on vanishing and exploding gradients.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"vglib {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, summary: str, description: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=summary,
            description=description,
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    book = add(
        "book",
        "build the HTML book",
        "Build the HTML book into _build/html and print the path of its first page.\n"
        "Chapters run again only when their code, what they import, or a result they read has changed.\n"
        "Any warning and any failing cell fails the build.",
    )
    book.add_argument("--fresh", action="store_true", help="forget all pages and outputs first")
    book.add_argument("-q", "--quiet", action="store_true", help="print warnings and errors only")
    book.set_defaults(run=_book)

    test = add(
        "test",
        "run all checks and tests",
        "Run the linters, the tests, the exercises, the build of the book and the tests of its pages.\n"
        "All of them run, also when one fails; the last line counts what passed and what failed.\n"
        "Other arguments go to pytest, for example: vglib test -k clipping",
    )
    test.set_defaults(run=_test)

    lab = add(
        "lab",
        "open the chapters in JupyterLab",
        "Start JupyterLab on the chapters; a double click on a chapter opens it as a notebook.\n"
        "Other arguments go to JupyterLab, for example: vglib lab --no-browser",
    )
    lab.set_defaults(run=_lab)

    bench = add(
        "bench",
        "run the benchmarks",
        "Run the benchmarks side by side with what one would use instead.\n"
        "Other arguments go to the benchmarks; see: vglib bench -- --help",
    )
    bench.set_defaults(run=_bench)

    reproduce = add(
        "reproduce",
        "compute the results that the chapters show",
        "Run a reproduction, or all of them, and write results/NAME.jsonl, one line a run.\n"
        "Runs whose settings and seed are in the file are skipped, so after an interruption it goes on.",
    )
    reproduce.add_argument("name", metavar="NAME", nargs="?", choices=NAMES, help=", ".join(NAMES))
    reproduce.add_argument("--list", action="store_true", help="print what there is and how much is done")
    reproduce.add_argument("--fresh", action="store_true", help="compute all runs again")
    reproduce.add_argument(
        "--jobs",
        type=_positive,
        default=1,
        metavar="N",
        help="how many runs to do at a time, one thread each (default: 1)",
    )
    reproduce.set_defaults(run=_reproduce)

    exercises = add(
        "exercises",
        "write the exercises as learners get them",
        "Write one notebook a topic, without solutions and outputs. They open in JupyterLab, and their\n"
        "self-checks work wherever vglib is installed.",
    )
    exercises.add_argument(
        "folder", metavar="FOLDER", nargs="?", type=Path, help="where to (default: _build/exercises)"
    )
    exercises.set_defaults(run=_exercises)
    _add_grade(add)
    return top


def _add_grade(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    command = add(
        "grade",
        "grade a folder of exercises that were handed in",
        "Grade STUDENT/TOPIC.ipynb, STUDENT/TOPIC/TOPIC.ipynb or STUDENT_TOPIC.ipynb in FOLDER.\n"
        "Strangers' code runs in a sandbox, or not at all. Marks go into nbgrader's gradebook in the course\n"
        "folder, beside grades.csv and a page for each learner. What has been graded is not graded again:\n"
        "after an interruption it goes on.",
    )
    command.add_argument("folder", metavar="FOLDER", nargs="?", type=Path, help="the submissions")
    command.add_argument("--probe", action="store_true", help="say whether this machine can grade safely")
    command.add_argument(
        "--course", type=Path, metavar="DIR", help="where marks and pages go (default: FOLDER-graded)"
    )
    command.add_argument(
        "--exercises", type=Path, metavar="DIR", help="exercises with solutions (default: the checkout's)"
    )
    command.add_argument(
        "--topic", action="append", default=[], metavar="TOPIC", help="only this one; may be repeated"
    )
    command.add_argument("--again", action="store_true", help="grade also what has been graded")
    command.add_argument("--no-feedback", action="store_true", help="make no pages for the learners")
    workers = command.add_mutually_exclusive_group()
    workers.add_argument(
        "--jobs", type=_positive, metavar="N", help="how many to grade at a time (default: one a core)"
    )
    workers.add_argument(
        "--scheduler", metavar="ADDRESS", help="grade on a Dask cluster, for example tcp://127.0.0.1:8786"
    )
    command.add_argument(
        "--gradebook", metavar="URL", help="database of the gradebook (default: a file in the course folder)"
    )
    command.add_argument(
        "--unsafe-no-sandbox",
        action="store_true",
        help="run the submissions with YOUR rights: they can read, change and delete all that you can",
    )
    command.set_defaults(run=_grade)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv
        Arguments; those of the process by default.

    Returns
    -------
    int
        The exit code.
    """
    top = parser()
    arguments, rest = top.parse_known_args(argv)
    if rest and arguments.command in {"book", "reproduce", "exercises", "grade"}:
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.rest = [argument for argument in rest if argument != "--"]
    from vglib.course.checkout import CannotRunError

    try:
        return arguments.run(arguments)
    except CannotRunError as error:
        print(f"vglib {arguments.command}: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print(f"vglib {arguments.command}: interrupted", file=sys.stderr)
        return 1


def _book(arguments: argparse.Namespace) -> int:
    from vglib.course import book

    return book.build(fresh=arguments.fresh, quiet=arguments.quiet)


def _test(arguments: argparse.Namespace) -> int:
    from vglib.course import suite

    return suite.run(arguments.rest)


def _lab(arguments: argparse.Namespace) -> int:
    from vglib.course import lab

    return lab.start(arguments.rest)


def _bench(arguments: argparse.Namespace) -> int:
    from vglib.course import lab

    return lab.bench(arguments.rest)


def _reproduce(arguments: argparse.Namespace) -> int:
    from vglib.course.reproductions import runner

    return runner.command(arguments.name, listing=arguments.list, fresh=arguments.fresh, jobs=arguments.jobs)


def _exercises(arguments: argparse.Namespace) -> int:
    from vglib.course.checkout import CannotRunError, root
    from vglib.course.release import points, release

    folder = arguments.folder or root() / "_build" / "exercises"
    try:
        for path in release(root() / "exercises", folder):
            worth = points(path)
            print(f"{path}   {len(worth)} tasks, {sum(worth.values()):g} points")
    except (OSError, ValueError) as error:
        raise CannotRunError(f"cannot write the exercises into {folder}: {error}") from None
    return 0


def _grade(arguments: argparse.Namespace) -> int:
    from vglib.course.grading import start

    return start.run(arguments)


def _positive(text: str) -> int:
    """Return a positive whole number."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1; got {text!r}")
    return int(text)
