"""MNIST from the four files that a reader has; nothing is fetched.

A file is trusted no further than it has been checked: its header says how many bytes are to be read, MNIST's
own size how many at most, and the SHA-256 of what was read whether it is MNIST. The sums are those of the
uncompressed content, so they hold for a file that was unpacked, or packed again, too.
"""

from __future__ import annotations

import gzip
import math
import os
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from ..errors import choice, whole_number
from .files import Sums, check_verify, compare, find, reading
from .images import Digits, check_limit, check_order, sequences
from .place import Place

__all__ = ["mnist"]

SIDE = 28
COUNTS = {"train": 60_000, "test": 10_000}
PREFIX = {"train": "train", "test": "t10k"}
PLACES = (".", "mnist", "MNIST/raw")  # the last is where torchvision puts them
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
HOW = (
    f"MNIST does not come with this library. Its four files, {'.gz, '.join(SHA256)}.gz, lie under "
    "https://ossci-datasets.s3.amazonaws.com/mnist/; torchvision.datasets.MNIST(FOLDER, download=True) gets "
    "them too. Then name the folder: mnist(FOLDER), or by the environment variable VGLIB_DATA"
)


def mnist(
    folder: str | os.PathLike[str] | None = None,
    split: str = "train",
    order: str = "pixels",
    permutation: int | None = None,
    limit: int | None = None,
    xp: ModuleType | None = None,
    device: Any = None,
    dtype: Any = "float64",
    verify: bool | Sums = True,
) -> Digits:
    """Return handwritten digits of MNIST as sequences, from files of the reader's.

    Parameters
    ----------
    folder : path, optional
        Where the files are, packed (`.gz`) or not; `folder/mnist` and `folder/MNIST/raw` are looked at too.
        Without it, the environment variable VGLIB_DATA.
    split : {'train', 'test'}
        60,000 or 10,000 images, in the order of the file.
    order : {'pixels', 'rows'}
        One pixel a step, T = 784; or one row of 28 a step, top first.
    permutation : int, optional
        Seed of one order of pixels for all images of both splits ("permuted MNIST"), as in `digits`; only
        with order 'pixels'.
    limit : int, optional
        Keep the first so many images. All 60,000 take 376 MB in float64, half of it in float32.
    xp, device, dtype
        As for `RNN.init`.
    verify : bool or mapping of name to SHA-256
        Compare the content with MNIST's checksums, or with those given. With False any number of 28 × 28
        images up to MNIST's is read, so that a few will do.

    Returns
    -------
    Digits

    Raises
    ------
    FileNotFoundError
        No folder is named, or a file is not in it; the message says how to get them.
    ValueError
        A file that is not MNIST: another kind, size or checksum, cut short, too long or damaged; labels that
        are no digits or not as many as images. Nothing is returned then. Also a bad option.
    TypeError
        A parameter of another kind.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to document recognition,
    Proceedings of the IEEE 86, 2278–2324, 1998.
    """
    choice("split", split, tuple(COUNTS))
    check_order(order, permutation)
    limit = limit if limit is None else whole_number("limit", limit, 1)
    sums, place = check_verify(verify, SHA256), Place(xp, device, dtype)
    names = [f"{PREFIX[split]}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
    paths = find(folder, PLACES, lambda place: _look(place, names), ".gz", HOW)
    least = COUNTS[split] if verify is True else 1
    images = _read(paths[0], (SIDE, SIDE), least, COUNTS[split], sums)
    labels = _read(paths[1], (), least, COUNTS[split], sums)
    if len(images) != len(labels):
        raise ValueError(f"{paths[0]} has {len(images)} images but {paths[1]} has {len(labels)} labels")
    if labels.max() > 9:
        raise ValueError(f"{paths[1]} must hold digits 0 to 9; got {labels.max()}")
    check_limit(limit, len(images), split)
    x = sequences(images[:limit], order, permutation)
    return Digits(place.scaled(x, 255), place.whole(labels[:limit]))


def _look(place: Path, names: list[str]) -> tuple[list[Path], list[str]]:
    """Return the files that are in a folder, packed or not, and the names of those that are not."""
    either = {name: (place / name, place / f"{name}.gz") for name in names}
    found = {name: next(filter(Path.is_file, paths), None) for name, paths in either.items()}
    return [path for path in found.values() if path], [name for name in names if found[name] is None]


def _read(path: Path, shape: tuple[int, ...], least: int, most: int, sums: Sums | None) -> np.ndarray:
    """Return the content of one IDX file of bytes, (N, *shape) with least ≤ N ≤ most, all checks passed."""
    kind = 0x800 + 1 + len(shape)  # bytes, and the number of axes
    with reading(path), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        header = _exactly(file, 4 * (2 + len(shape)), path)
        magic, count, *sizes = np.frombuffer(header, dtype=">u4").tolist()
        if magic != kind:
            raise ValueError(f"{path} must begin with the number {kind} of its kind; got {magic}")
        if tuple(sizes) != shape:
            raise ValueError(f"{path} must hold images of 28 × 28 pixels; its header says {sizes}")
        if not least <= count <= most:
            number = f"{most:,}" if least == most else f"{least:,} to {most:,}"
            raise ValueError(f"{path} must hold {number} items; its header says {count:,}")
        # From here on no more than MNIST's own size is asked for, whatever the file is.
        content = _exactly(file, count * math.prod(shape), path)
        if file.read(1):
            raise ValueError(f"{path} goes on after the {count:,} items that its header says")
    compare(path, path.name.removesuffix(".gz"), (header, content), sums)
    return np.frombuffer(content, dtype=np.uint8).reshape(count, *shape)


def _exactly(file: BinaryIO, size: int, path: Path) -> bytes:
    """Return the next `size` bytes."""
    data = file.read(size)
    if len(data) != size:
        raise ValueError(f"{path} is cut short: {size:,} bytes must follow, {len(data):,} do; get it again")
    return data
