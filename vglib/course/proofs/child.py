"""The process that `judge_within` may kill: one proof a line comes in, one report a line goes out."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import sys
from typing import Any

__all__ = ["MAX_MEMORY", "main"]

MAX_MEMORY = 2 << 30  # bytes of address space; an honest proof is far below


def main() -> None:
    """Judge whatever comes until the input ends."""
    # Not every system can limit memory.
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    from sympy.core.cache import clear_cache

    from vglib.course.proofs.checker import judge

    with open(os.devnull, "w") as nowhere:
        _say("ready")
        for line in sys.stdin:
            theorem, steps, seconds = json.loads(line)
            # Whoever waits for the answer may be gone; this ends the process even from within a C loop.
            faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
            report = judge(theorem, steps)
            faulthandler.cancel_dump_traceback_later()
            _say([[[s.number, s.text, s.rule, s.right, s.why] for s in report.steps], report.message])
            clear_cache()  # no proof is judged otherwise, or sooner, because of the one before it


def _say(what: Any) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()
