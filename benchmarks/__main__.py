"""``python -m benchmarks``, which ``make bench`` calls."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from . import report, suite
from .race import BenchmarkError

LATEST = Path(__file__).parent / "latest.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks; return 1 if one fails or misses its target."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["grading"]:
        from . import grading

        return grading.main(argv[1:])
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare vglib with what one would run instead: alternate processes, two threads each, "
        "the median of the rounds' ratios. Contenders must agree in their numbers before they are timed.",
        epilog="The grader has benchmarks of its own: python -m benchmarks grading. "
        "exit codes: 0 all targets met; 1 one missed, or a contender failed; 2 wrong command line",
    )
    parser.add_argument(
        "--quick", action="store_true", help="3 rounds instead of 11; no file unless --output"
    )
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="cuda: PyTorch on both sides, for information",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write (benchmarks/latest.json, unless the machine was busy)",
    )
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda" and not _has_cuda():
        parser.error("--device cuda: PyTorch finds no CUDA device")
    rounds = 3 if arguments.quick else 11

    try:
        # Silent when not a terminal.
        with tqdm(total=suite.duration(rounds), disable=None, leave=False, unit="turn") as bar:

            def tick(done: str) -> None:
                bar.set_description_str(done, refresh=False)
                bar.update()

            rows = suite.run(arguments.device, rounds, tick)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1

    about = report.machine(arguments.device)
    print(", ".join(f"{name} {value}" for name, value in about.items()), end="\n\n")
    print(report.table(rows))
    busy = report.busy()
    if busy:
        print(f"\nbenchmarks: {busy}", file=sys.stderr)
    output = arguments.output or (None if arguments.quick or busy else _default_output(arguments.device))
    if output is not None:
        report.write(output, rows, arguments.device, rounds)
        print(f"\nwritten to {output}")
    missed = [row.what for row in rows if row.met is False]
    for what in missed:
        print(f"benchmarks: target missed: {what}", file=sys.stderr)
    return 1 if missed else 0


def _default_output(device: str) -> Path:
    return LATEST if device == "cpu" else LATEST.with_stem(f"latest-{device}")


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    sys.exit(main())
