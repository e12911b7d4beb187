"""The table and the file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .race import THREADS
from .suite import SETTINGS, Row

__all__ = ["busy", "machine", "table", "write"]

HEADER = ("what (ours / theirs)", "ours", "theirs", "ratio", "target", "met?")


def machine(device: str) -> dict[str, Any]:
    """Return what one must know to read the times: cores, threads, versions, and a GPU's name."""
    about: dict[str, Any] = {
        "cpu": platform.machine(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "device": device,
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "torch", "vglib")},
    }
    if device != "cpu":
        import torch

        about["device"] = torch.cuda.get_device_name()
    return about


def busy() -> str:
    """Return a warning if others kept the machine busy over the last minutes, else nothing.

    The benchmarks themselves keep no more than their own threads running.
    """
    if not hasattr(os, "getloadavg"):
        return ""
    load = os.getloadavg()[1]
    if load < max(os.cpu_count() or 1, THREADS) + 0.5:
        return ""
    return (
        f"the machine was busy (load {load:.1f} on {os.cpu_count()} cores): thread pools that share their "
        "cores wait for each other, so the times say little"
    )


def table(rows: Sequence[Row]) -> str:
    """Return the table as text."""
    cells = [HEADER, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        first, *rest = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join([row[0].ljust(len(first)), *rest]))
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _cells(row: Row) -> tuple[str, ...]:
    if row.at_least is not None:
        target = f"≥ {row.at_least:g}×"
    elif row.at_most is not None:
        target = f"≤ {row.at_most:g} {row.unit}".rstrip()
    else:
        target = ""
    return (
        row.what,
        _amount(row.ours, row.unit),
        "" if row.theirs is None else _amount(row.theirs, row.unit),
        "" if row.ratio is None else f"{row.ratio:.2f}×",
        target,
        {True: "yes", False: "NO", None: ""}[row.met],
    )


def _amount(value: float, unit: str) -> str:
    return f"{value:.1f} {unit}" if unit else f"{value:.1e}"


def write(path: Path, rows: Sequence[Row], device: str, rounds: int) -> None:
    """Write one JSON file, replaced as a whole."""
    content = {
        "schema": 1,
        "settings": {**SETTINGS, "rounds": rounds},
        "machine": machine(device),
        "busy": bool(busy()),
        "rows": [{**asdict(row), "ratios": _rounded(row.ratios), "met": row.met} for row in rows],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _rounded(numbers: Sequence[float]) -> list[float]:
    return [round(number, 3) for number in numbers]
