"""The checkpoint: one file, as `torch.save` writes it, replaced in one move, read without running code."""

from __future__ import annotations

import functools
import hashlib
import os
import time
import types
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .batches import convert_leaves

__all__ = ["Checkpoint", "described", "digest", "fingerprint", "owner_of"]

FORMAT = "vglib training 1"
# Writing takes at most this share of the time.
SHARE = 0.05


class Checkpoint:
    """A file that holds the state of a run, and the settings of that run.

    Parameters
    ----------
    path : Path
    settings : mapping
        From `fingerprint`.

    Raises
    ------
    ValueError
        The path is a folder.
    """

    def __init__(self, path: Path, settings: Mapping[str, str]) -> None:
        if path.is_dir():
            raise ValueError(f"checkpoint must be the path of a file; {path} is a folder")
        self.path, self.settings = path, dict(settings)
        self.cost, self.written = 0.0, 0.0

    def is_due(self) -> bool:
        """Return whether the last writing is long enough ago."""
        return time.monotonic() - self.written >= self.cost * (1.0 / SHARE - 1.0)

    def write(self, state: Mapping[str, Any], first: bool = False) -> None:
        """Replace the file; whoever reads meanwhile, or after a crash, finds the old or the new one whole.

        Raises
        ------
        TypeError
            The state, that of the clip for instance, holds what cannot be read back without running code;
            found when the `first` one is written.
        """
        start = time.monotonic()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        try:
            with temporary.open("wb") as file:
                torch.save({"format": FORMAT, "settings": self.settings, **state}, file)
                file.flush()
                os.fsync(file.fileno())
            if first:
                _check_readable(temporary)
            os.replace(temporary, self.path)
        finally:
            temporary.unlink(missing_ok=True)
        self.written = time.monotonic()
        self.cost = self.written - start

    def read(self) -> dict[str, Any] | None:
        """Return the stored state, on the CPU; None if there is no file.

        Raises
        ------
        ValueError
            The file is damaged, or none of ours, or of other settings. It stays as it is.
        """
        if not self.path.exists():
            return None
        way_out = "Name another path, or delete the file to start anew."
        try:
            state = _parse(self.path)
        except Exception as error:
            # Whatever bytes can make zip, pickle and torch raise.
            raise ValueError(
                f"checkpoint: {self.path} is damaged, or no checkpoint of fit ({error}). {way_out}"
            ) from None
        stored, now = state["settings"], dict(self.settings)
        # After an interruption the same objects may come again, not as at the start but as they are stored.
        left = {**state["attributes"], "start": digest(state["model"])}
        now |= {name: stored[name] for name in left if now[name] == left[name]}
        other = [name for name in now if stored[name] != now[name]]
        if other:
            texts = [
                f"{MEANING.get(name, name)} was {stored[name]:.500}, is {now[name]:.500}" for name in other
            ]
            raise ValueError(f"checkpoint: {self.path} is of another run: {'; '.join(texts)}. {way_out}")
        return state


MEANING = {
    "start": "digest of the weights at the start",
    "trained": "digest of the names of trained parameters",
    "data": "digest of batch_of(0)",
}


def _parse(path: Path) -> dict[str, Any]:
    """Return the state in a file, or raise anything."""
    with zipfile.ZipFile(path) as parts:
        # torch.load itself does not mind a flipped bit.
        if (bad := parts.testzip()) is not None:
            raise ValueError(f"{bad} has another checksum")
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT!r}")
    return state


def _check_readable(path: Path) -> None:
    try:
        _parse(path)
    except Exception as error:
        raise TypeError(
            "checkpoint: the state of model, optimizer or clip must be tensors, numbers, strings, lists and "
            f"dicts, which can be read without running code: {error}"
        ) from None


def fingerprint(run: Any, batch: Any) -> dict[str, str]:
    """Return what identifies a run, in readable words where there are such.

    The number of steps is no part of it: a run may go on. Neither is the device's number.
    """
    groups = [{k: v for k, v in g.items() if k != "params"} for g in run.stepper.param_groups]
    return {
        "model": type(run.model).__qualname__,
        "start": digest(run.model.state_dict()),
        "trained": digest(run.names),
        "data": digest(batch),
        "loss_fn": described(run.loss_fn),
        "optimizer": f"{type(run.stepper).__qualname__} {_words(groups)}",
        "clip": described(run.clip),
        "evaluate": described(run.evaluate),
        "stop": described(run.stop),
        "every": str(run.every),
        "seed": str(run.seed),
        "device": run.device.type,
    }


def digest(value: Any) -> str:
    """Return sixteen hexadecimal digits that stand for tensors, arrays and plain values to any depth."""
    sums = hashlib.sha256()

    def leaf(item: Any) -> Any:
        if isinstance(item, np.ndarray) and item.dtype.kind in "biufc":
            item = torch.from_numpy(np.array(item, order="C"))
        if isinstance(item, torch.nn.utils.rnn.PackedSequence):
            item = item.data
        if isinstance(item, torch.Tensor):
            plain = item.detach().cpu().contiguous()
            sums.update(f"{plain.dtype}{tuple(plain.shape)}".encode())
            if plain.numel():
                sums.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            sums.update(_words(item).encode())
        return item

    convert_leaves(value, leaf)
    if isinstance(value, Mapping):
        sums.update(repr(list(value)).encode())
    return sums.hexdigest()[:16]


def _words(value: Any) -> str:
    """Describe a setting so that another process gives the same words: no addresses."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, torch.Tensor | np.ndarray):
        return digest(value)
    if isinstance(value, functools.partial):
        parts = [_words(value.func), *map(_words, value.args)]
        parts += [f"{name}={_words(item)}" for name, item in sorted(value.keywords.items())]
        return f"partial({', '.join(parts)})"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_words, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {_words(item)}' for name, item in value.items())}}}"
    name = getattr(value, "__qualname__", None)
    return name if isinstance(name, str) else type(value).__qualname__


def described(setting: Any) -> str:
    """Describe a callable by its name, and the object behind it by its attributes."""
    owner = owner_of(setting)
    plain = owner is None or isinstance(owner, types.FunctionType | type)
    attributes = {} if plain else getattr(owner, "__dict__", {})
    return f"{_words(setting)} {_words(attributes)}" if attributes else _words(setting)


def owner_of(setting: Any) -> Any:
    """Return the object whose state a callable changes: that of a method, or within a partial."""
    while isinstance(setting, functools.partial):
        setting = setting.func
    return setting.__self__ if isinstance(setting, types.MethodType) else setting
