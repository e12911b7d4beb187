"""The command ``reproduce``: run what is not in the result files yet."""

import os
import subprocess
import sys
import time
from pathlib import Path

from vglib.course import reproductions
from vglib.course.book import ONE_THREAD
from vglib.course.checkout import require, root
from vglib.course.reproductions import Reproduction, store


def command(name: str | None = None, *, listing: bool = False, fresh: bool = False) -> int:
    """Run one reproduction, or all, in a process with one thread.

    Parameters
    ----------
    name
        Of the reproduction; all when None.
    listing
        Only print what there is, and how much of it is done.
    fresh
        Compute all runs again.

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
        environment = {**os.environ, **ONE_THREAD}
        try:
            return subprocess.run(again + ["--fresh"] * fresh, env=environment, check=False).returncode
        except KeyboardInterrupt:
            return 1  # the other process has said so
    try:
        for reproduction in map(reproductions.find, chosen):
            path = folder / "results" / f"{reproduction.name}.jsonl"
            print(_line(reproduction, path) if listing else _report(reproduction, path, fresh), flush=True)
    except store.ResultsError as error:
        print(f"vglib reproduce: {error}", file=sys.stderr)
        return 1
    return 0


def run(reproduction: Reproduction, path: Path, *, fresh: bool = False) -> tuple[int, int]:
    """Do the runs that are not in the file; the file is replaced after each, so an interruption loses one.

    Parameters
    ----------
    reproduction
        What to run.
    path
        The result file.
    fresh
        Forget what is stored. The old file stays until the first run is done.

    Returns
    -------
    new, dropped : int
        Runs done now, and runs that were stored but are no longer asked for.

    Raises
    ------
    ResultsError
        The file is damaged; nothing has been changed.
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
    with tqdm(desc=reproduction.name, total=len(tasks), initial=len(done), unit="run", disable=None) as bar:
        for name in todo:
            settings, seed = tasks[name]
            start = time.perf_counter()
            numbers = reproduction.run(settings, seed)
            minutes = float(f"{(time.perf_counter() - start) / 60:.2g}")
            done[name] = store.make(settings, seed, numbers, reproduction.packages)
            meta[name] = {"minutes": minutes, "device": reproduction.device}
            store.write(path, done.values(), meta)
            bar.update()
    if dropped and not todo:
        store.write(path, done.values(), meta)
    return len(todo), dropped


def _report(reproduction: Reproduction, path: Path, fresh: bool) -> str:
    """Run, and return a line about it."""
    start = time.perf_counter()
    new, dropped = run(reproduction, path, fresh=fresh)
    minutes = (time.perf_counter() - start) / 60
    text = f"{path}: {new} runs done in {minutes:.1f} minutes" if new else f"{path}: nothing to do"
    return f"{text}; {dropped} runs of settings no longer asked for left out" if dropped else text


def _line(reproduction: Reproduction, path: Path) -> str:
    """Return a line of the list."""
    stored = {store.key(record["settings"], record["seed"]) for record in store.read(path)}
    keys = [store.key(*task) for task in reproduction.tasks()]
    count = f"{sum(name in stored for name in keys)}/{len(keys)}"
    return f"{reproduction.name:<16}{count:>9} runs  {reproduction.summary}"
