r"""Result files: ``results/NAME.jsonl``, one line a run, and beside it what is not compared.

A line is a JSON object with the fields

`schema`         number of this format
`settings`       all that the run depended on besides the seed
`settings_hash`  sixteen hexadecimal digits of their SHA-256; with the seed it is the run's key
`seed`
`versions`       of Python, vglib and the packages that computed
`numbers`        what came out, floats rounded to six significant digits, nothing but finite numbers

Lines are sorted by key, so the same runs give the same file, byte for byte, in whatever order they were done.
Minutes and device of each run lie in ``results/NAME.meta.json``, by key: they differ from machine to machine.
Both files are only ever replaced as a whole.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vglib.base.errors import choice
from vglib.course.checkout import root
from vglib.course.reproductions import NAMES
from vglib.version import __version__

__all__ = ["SCHEMA", "Record", "ResultsError", "key", "load", "make", "provenance", "read", "write"]

SCHEMA = 1
DIGITS = 6
Record = dict[str, Any]
_FIELDS = {"schema", "settings", "settings_hash", "seed", "versions", "numbers"}


class ResultsError(Exception):
    """A result file that is not there or cannot be read; the message says what to do about it."""


def load(name: str, **settings: Any) -> list[Record]:
    """Return the runs of a reproduction, those of one setting in the order of their seeds.

    Parameters
    ----------
    name : str
        Of the reproduction.
    **settings
        Return only the runs with these settings, e.g. ``lag=8``.

    Raises
    ------
    ValueError
        There is no such reproduction, or it has no run with these settings.
    ResultsError
        It has not been run, or a line of its file is damaged.

    Examples
    --------
    >>> run = load("recall", lag=8, optimiser="SGD, rate 1")[0]
    >>> run["seed"], len(run["numbers"]["accuracy"])
    (0, 40)
    """
    choice("name", name, NAMES)
    path = root() / "results" / f"{name}.jsonl"
    records = read(path)
    if not records:
        raise ResultsError(f"no results in {path}: compute them with: python -m vglib reproduce {name}")
    chosen = [record for record in records if settings.items() <= record["settings"].items()]
    if not chosen:
        raise ValueError(f"{path} has no run with the settings {settings}")
    return chosen


def provenance(name: str) -> dict[str, Any]:
    """Return the minutes that all stored runs took together, and the devices they ran on."""
    runs = read_meta(root() / "results" / f"{name}.jsonl").values()
    return {
        "minutes": round(sum(run["minutes"] for run in runs), 2),
        "devices": sorted({run["device"] for run in runs}),
    }


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Return a short hash that does not depend on the order of the settings."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def key(settings: Mapping[str, Any], seed: int) -> str:
    """Return what names a run: the hash of its settings, and its seed."""
    return f"{settings_hash(settings)}-{seed}"


def make(
    settings: Mapping[str, Any], seed: int, numbers: Mapping[str, Any], packages: Iterable[str] = ()
) -> Record:
    """Return the record of one run.

    Raises
    ------
    ValueError
        A number that is not finite, which JSON does not have.
    """
    return {
        "schema": SCHEMA,
        "settings": dict(settings),
        "settings_hash": settings_hash(settings),
        "seed": seed,
        "versions": {
            "python": platform.python_version(),
            "vglib": __version__,
            **{package: version(package) for package in packages},
        },
        "numbers": {name: _rounded(name, value) for name, value in numbers.items()},
    }


def read(path: Path) -> list[Record]:
    """Return all records of a file, none if there is no file.

    Raises
    ------
    ResultsError
        Naming the file and the line that is not a whole record. The file stays as it is.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    records: dict[str, Record] = {}
    lines = content.removesuffix(b"\n").split(b"\n") if content else []
    for number, line in enumerate(lines, 1):
        try:
            record = _parse(line)
            name = key(record["settings"], record["seed"])
            if name in records:
                raise ValueError("the same run stands in an earlier line")
        except ValueError as error:
            raise ResultsError(
                f"{path}, line {number}: not a whole record ({error}). Take the file from version control, "
                "or delete that line and compute what is missing: "
                f"python -m vglib reproduce {path.stem}"
            ) from None
        records[name] = record
    return list(records.values())


def read_meta(path: Path) -> dict[str, Any]:
    """Return minutes and device by key, from the file beside `path`; none if there is no such file.

    Raises
    ------
    ResultsError
        The file is damaged.
    """
    beside = _meta(path)
    try:
        return dict(json.loads(beside.read_text(encoding="utf-8"))["runs"])
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError) as error:
        raise ResultsError(
            f"{beside} is damaged ({error}). Take it from version control, or delete it: "
            "it holds minutes and devices, which nothing else needs"
        ) from None


def write(path: Path, records: Iterable[Record], meta: Mapping[str, Any]) -> None:
    """Replace a result file and the one beside it; whoever reads meanwhile sees the old or the new one.

    Parameters
    ----------
    path : Path
    records : iterable of Record
        All of them, in any order.
    meta : mapping
        Minutes and device by key; entries without a record are left out.
    """
    ordered = sorted(records, key=lambda record: (record["settings_hash"], record["seed"]))
    keys = [key(record["settings"], record["seed"]) for record in ordered]
    lines = [f"{json.dumps(name)}: {json.dumps(meta[name])}" for name in keys if name in meta]
    # Minutes first: if it ends between the two, a run too many has minutes, which the next run puts right.
    _replace(_meta(path), f'{{"schema": {SCHEMA}, "runs": {{\n' + ",\n".join(lines) + "\n}}\n")
    _replace(path, "".join(json.dumps(record, allow_nan=False) + "\n" for record in ordered))


def _parse(line: bytes) -> Record:
    """Return the record in a line, or raise ValueError with what is wrong."""
    record = json.loads(line, parse_constant=_no_number)
    if not isinstance(record, dict) or record.keys() != _FIELDS:
        raise ValueError(f"its fields are not {', '.join(sorted(_FIELDS))}")
    if record["schema"] != SCHEMA:
        raise ValueError(f"schema {record['schema']}, where this vglib reads {SCHEMA}")
    for field, kind in (("settings", dict), ("seed", int), ("versions", dict), ("numbers", dict)):
        if not isinstance(record[field], kind):
            raise ValueError(f"{field} is {record[field]!r}")
    if record["settings_hash"] != settings_hash(record["settings"]):
        raise ValueError("the settings do not have the hash that stands beside them")
    return record


def _rounded(name: str, value: Any) -> Any:
    """Return a JSON value, its floats rounded."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, Mapping):
        return {inner: _rounded(f"{name}.{inner}", item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(name, item) for item in value]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, or None where there is no number; got {value}")
    return float(f"{value:.{DIGITS}g}")


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not a number of JSON")


def _meta(path: Path) -> Path:
    return path.with_suffix(".meta.json")


def _replace(path: Path, text: str) -> None:
    """Write a file beside the old one and put it in its place in one move."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
