"""Plain values as bytes, and back: what crosses between a learner's functions and a check, and nothing else.

A message is a length, a JSON header and the arrays' bytes::

    4 bytes, big-endian   length of the header
    header                {"value": tree, "arrays": [[dtype, shape], …]}
    arrays                one after the other, in C order

A tree is None, a bool, a number, a text, or a list whose first item names what follows: ``["list", a, …]``,
``["tuple", a, …]``, ``["dict", [key, a], …]``, ``["array", i]`` and ``["rng", seed]``. Nothing is pickled and
nothing is evaluated; the reader believes no length before it has compared it with what is there.

Nor may a small message become a large value. Each array is named once, in order: a list that names one array
a thousand times would be a thousand copies as soon as it is made an array. Numbers are counted, since NumPy
widens bytes to complex numbers, and so are texts, since in an array each takes the room of the longest.

A random generator crosses as a seed drawn from it. So each call gets a generator of its own, the same one
whether the function runs here or elsewhere.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np

__all__ = ["MAX_BYTES", "WireError", "pack", "unpack"]

MAX_BYTES = 32 * 2**20
MAX_HEADER, MAX_ITEMS, MAX_TEXT, MAX_NUMBERS = 2**20, 50_000, 2**16, 2**21
# Proofs are the deepest values: a list of steps of trees.
MAX_DEPTH = 30
MAX_TEXTS = 2**24  # items times characters of the longest text
# float16 too: what a learner computes in half precision is an answer like any other.
DTYPES = frozenset(
    ["bool", "float16", "float32", "float64", "complex64", "complex128"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)
_LENGTH = struct.Struct(">I")


class WireError(ValueError):
    """A value that cannot cross, or bytes that are no message; the text says why."""


def pack(value: object) -> bytes:
    """Return a value as a message.

    Raises
    ------
    WireError
        It holds something else than numbers, text, arrays, and lists, tuples and dicts of them; or too much.
    """
    arrays: list[np.ndarray] = []
    tree = _tree(value, arrays, 0)
    shapes = [[array.dtype.name, list(array.shape)] for array in arrays]
    header = json.dumps({"value": tree, "arrays": shapes}).encode()
    if len(header) > MAX_HEADER:
        raise WireError(f"{len(header):,} bytes of lists and text; at most {MAX_HEADER:,} are allowed")
    size = sum(array.size for array in arrays)
    if size > MAX_NUMBERS:
        raise WireError(f"{size:,} numbers; at most {MAX_NUMBERS:,} are allowed")
    return b"".join([_LENGTH.pack(len(header)), header, *(array.tobytes() for array in arrays)])


def _tree(value: Any, arrays: list[np.ndarray], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise WireError(f"lists in lists, more than {MAX_DEPTH} deep")
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, np.random.Generator):
        return ["rng", int(value.integers(2**63))]
    if hasattr(value, "detach"):
        value = value.detach().cpu()  # a PyTorch tensor
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "__array__"):
        return ["array", _add(value, arrays)]
    if isinstance(value, int):
        return int(value) if abs(value) < 2**63 else _refuse(f"a whole number of {value.bit_length()} bits")
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return [kind, *(_tree(item, arrays, depth + 1) for item in value)]
    if isinstance(value, dict):
        return ["dict", *([_text(key), _tree(item, arrays, depth + 1)] for key, item in value.items())]
    return _refuse(f"an object of the kind {type(value).__name__}")


def _refuse(what: str) -> None:
    raise WireError(f"{what}; only numbers, text, arrays, and lists, tuples and dicts of them are allowed")


def _text(value: object) -> str:
    if not isinstance(value, str):
        _refuse(f"a key of the kind {type(value).__name__}")
    if len(value) > MAX_TEXT:
        raise WireError(f"a text of {len(value):,} characters; at most {MAX_TEXT:,} are allowed")
    return str(value).encode(errors="replace").decode()


def _add(value: Any, arrays: list[np.ndarray]) -> int:
    array = np.asarray(value)
    if array.dtype.name not in DTYPES:
        raise WireError(f"an array of dtype {array.dtype}; numbers are wanted")
    # A broadcast array is small in memory and huge when it is written out.
    if array.size > MAX_NUMBERS:
        raise WireError(f"an array of {array.size:,} numbers; at most {MAX_NUMBERS:,} are allowed")
    arrays.append(np.ascontiguousarray(array).reshape(array.shape).astype(array.dtype.name, copy=False))
    return len(arrays) - 1


def unpack(data: bytes) -> Any:
    """Return the value of a message; arrays are fresh and writable.

    Raises
    ------
    WireError
        The bytes are no message: whoever sent them is not to be trusted.
    """
    if len(data) < _LENGTH.size:
        raise WireError("a message without a header")
    (length,) = _LENGTH.unpack_from(data)
    if length > MAX_HEADER or length > len(data) - _LENGTH.size:
        raise WireError("a header longer than its message")
    start = _LENGTH.size + length
    try:
        header = json.loads(data[_LENGTH.size : start].decode())
    except (ValueError, RecursionError):
        raise WireError("a header that cannot be read") from None
    if type(header) is not dict or header.keys() != {"value", "arrays"} or type(header["arrays"]) is not list:
        raise WireError("a header without a value")
    if len(data) - start > MAX_BYTES or len(header["arrays"]) > MAX_ITEMS:
        raise WireError("too many arrays")
    arrays = []
    for about in header["arrays"]:
        array = _array(about, data, start)
        start += array.nbytes
        arrays.append(array)
    if start != len(data):
        raise WireError("more bytes than its arrays have")
    if sum(array.size for array in arrays) > MAX_NUMBERS:
        raise WireError("too many numbers")
    reader = _Reader(arrays)
    value = reader.value(header["value"], 0)
    if reader.longest > MAX_TEXT or reader.longest * reader.items > MAX_TEXTS:
        raise WireError("too much text")
    if reader.next != len(arrays):
        raise WireError("arrays that are not in its value")
    return value


def _array(about: object, data: bytes, start: int) -> np.ndarray:
    if type(about) is not list or len(about) != 2:
        raise WireError("an array without dtype and shape")
    name, shape = about
    if type(name) is not str or name not in DTYPES:
        raise WireError("an array of an unknown dtype")
    if type(shape) is not list or len(shape) > 16:
        raise WireError("an array with an impossible shape")
    if not all(type(n) is int and 0 <= n <= MAX_BYTES for n in shape):
        raise WireError("an array with an impossible shape")
    dtype, count = np.dtype(name), math.prod(shape)
    if count * dtype.itemsize > len(data) - start:
        raise WireError("an array with fewer bytes than its shape")
    if count == 0:
        # Nothing by much is nothing, and still too much for NumPy.
        if math.prod(n or 1 for n in shape) > MAX_BYTES:
            raise WireError("an array with an impossible shape")
        return np.empty(shape, dtype)
    array = np.frombuffer(data, dtype, count, start).reshape(shape).copy()
    if name == "bool":
        # Any byte may have come; NumPy computes with it as with a number.
        array = array.view(np.uint8) != 0
    return array


class _Reader:
    def __init__(self, arrays: list[np.ndarray]) -> None:
        self.arrays, self.items, self.longest, self.next = arrays, 0, 0, 0

    def value(self, tree: Any, depth: int) -> Any:
        self.items += 1
        if depth > MAX_DEPTH + 1 or self.items > MAX_ITEMS:
            raise WireError("too many values, or too deep")
        if type(tree) is str:
            return self.text(tree)
        if type(tree) is int and abs(tree) >= 2**63:
            raise WireError("a whole number of more than 64 bits")
        if tree is None or type(tree) in (bool, int, float):
            return tree
        if type(tree) is not list or not tree or type(tree[0]) is not str:
            raise WireError("a value of no known kind")
        kind, *rest = tree
        if kind in ("list", "tuple"):
            items = [self.value(item, depth + 1) for item in rest]
            return items if kind == "list" else tuple(items)
        if kind == "dict":
            if not all(type(pair) is list and len(pair) == 2 and type(pair[0]) is str for pair in rest):
                raise WireError("a dict whose keys are no text")
            return {self.text(key): self.value(item, depth + 1) for key, item in rest}
        if len(rest) != 1 or type(rest[0]) is not int or rest[0] < 0:
            raise WireError("a value of no known kind")
        if kind == "array" and rest[0] == self.next < len(self.arrays):
            self.next += 1
            # A number of NumPy comes back as one; `[()]` leaves other arrays as they are.
            return self.arrays[rest[0]][()]
        if kind == "rng" and rest[0] < 2**64:
            return np.random.default_rng(rest[0])
        raise WireError("a value of no known kind")

    def text(self, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError:
            # Half a character: it can be neither written to a file nor to a database.
            raise WireError("a text that is none") from None
        self.longest = max(self.longest, len(text))
        return text
