"""The command ``reproduce``: run what is not in the result files yet."""

import functools
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from vglib.course import reproductions
from vglib.course.book import ONE_THREAD
from vglib.course.checkout import require, root
from vglib.course.fan_out import fan_out
from vglib.course.reproductions import Reproduction, store
from vglib.course.workers import Inline, Processes


class RunsFailedError(Exception):
    """Some runs failed; the others are stored."""


def command(name: str | None = None, *, listing: bool = False, fresh: bool = False, jobs: int = 1) -> int:
    """Run one reproduction, or all, in processes with one thread each.

    Parameters
    ----------
    name
        Of the reproduction; all when None.
    listing
        Only print what there is, and how much of it is done.
    fresh
        Compute all runs again.
    jobs
        How many runs to do at a time.

    Returns
    -------
    int
        0, or 1 if something failed.
    """
    folder = root()
    require("book", "tqdm")
    chosen = [name] if name else list(reproductions.NAMES)
    if not listing and any(os.environ.get(variable) != "1" for variable in ONE_THREAD):
        again = [sys.executable, "-m", "vglib", "reproduce", *([name] if name else [])]
        again += ["--fresh"] * fresh + ["--jobs", str(jobs)] * (jobs != 1)
        try:
            return subprocess.run(again, env={**os.environ, **ONE_THREAD}, check=False).returncode
        except KeyboardInterrupt:
            return 1  # the other process has said so
    status = 0
    for reproduction in map(reproductions.find, chosen):
        path = folder / "results" / f"{reproduction.name}.jsonl"
        try:
            line = _line(reproduction, path) if listing else _report(reproduction, path, fresh, jobs)
            print(line, flush=True)
        except (store.ResultsError, RunsFailedError) as error:
            print(f"vglib reproduce: {error}", file=sys.stderr)
            status = 1
    return status


def run(reproduction: Reproduction, path: Path, *, fresh: bool = False, jobs: int = 1) -> tuple[int, int]:
    """Do the runs that are not in the file, which is replaced after each.

    An interruption loses the runs at hand. A run that fails is reported at once, and the others go on.

    Parameters
    ----------
    reproduction
        What to run.
    path
        The result file.
    fresh
        Forget what is stored. The old file stays until the first run is done.
    jobs
        How many runs to do at a time: one is done in this process, more in others. The file is the same.

    Returns
    -------
    new, dropped : int
        Runs done now, and runs that were stored but are no longer asked for.

    Raises
    ------
    ResultsError
        The file is damaged; nothing has been changed.
    RunsFailedError
        Runs failed; all others are in the file.
    """
    from tqdm import tqdm

    tasks = {store.key(*task): task for task in reproduction.tasks()}
    stored = [] if fresh else store.read(path)
    meta = {} if fresh else store.read_meta(path)
    records = {store.key(record["settings"], record["seed"]): record for record in stored}
    done = {name: record for name, record in records.items() if name in tasks}
    dropped = len(records) - len(done)
    todo = [name for name in tasks if name not in done]
    path.parent.mkdir(parents=True, exist_ok=True)
    work = {name: functools.partial(_timed, reproduction.run, *tasks[name]) for name in todo}
    failed = 0
    with (
        tqdm(desc=reproduction.name, total=len(tasks), initial=len(done), unit="run", disable=None) as bar,
        closing(fan_out(work, Inline() if jobs == 1 else Processes(jobs))) as outcomes,
    ):
        for outcome in outcomes:
            settings, seed = tasks[outcome.key]
            try:
                if outcome.error is not None:
                    raise outcome.error
                numbers, minutes = outcome.value
                done[outcome.key] = store.make(settings, seed, numbers, reproduction.packages)
            except (Exception, SystemExit) as error:
                failed += 1
                bar.clear()
                print(f"seed {seed}, {dict(settings)} failed:", file=sys.stderr)
                traceback.print_exception(error)
                continue
            meta[outcome.key] = {"minutes": minutes, "device": reproduction.device}
            store.write(path, done.values(), meta)
            bar.update()
    if failed:
        raise RunsFailedError(
            f"{reproduction.name}: {failed} of {len(todo)} runs failed; {path} has the others"
        )
    if dropped and not todo:
        store.write(path, done.values(), meta)
    return len(todo), dropped


def _timed(
    run_one: Callable[[Mapping[str, Any], int], Mapping[str, Any]], settings: Mapping[str, Any], seed: int
) -> tuple[Mapping[str, Any], float]:
    """Do one run; return its numbers, and the minutes it took."""
    start = time.perf_counter()
    numbers = run_one(settings, seed)
    return numbers, float(f"{(time.perf_counter() - start) / 60:.2g}")


def _report(reproduction: Reproduction, path: Path, fresh: bool, jobs: int) -> str:
    """Run, and return a line about it."""
    start = time.perf_counter()
    new, dropped = run(reproduction, path, fresh=fresh, jobs=jobs)
    minutes = (time.perf_counter() - start) / 60
    text = f"{path}: {new} runs done in {minutes:.1f} minutes" if new else f"{path}: nothing to do"
    return f"{text}; {dropped} runs of settings no longer asked for left out" if dropped else text


def _line(reproduction: Reproduction, path: Path) -> str:
    """Return a line of the list."""
    stored = {store.key(record["settings"], record["seed"]) for record in store.read(path)}
    keys = [store.key(*task) for task in reproduction.tasks()]
    count = f"{sum(name in stored for name in keys)}/{len(keys)}"
    return f"{reproduction.name:<16}{count:>9} runs  {reproduction.summary}"
