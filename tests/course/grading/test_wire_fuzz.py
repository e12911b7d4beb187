"""Values and bytes drawn at random: values come back as they went, bytes are refused or become values."""

import json
import struct

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vglib.course.wire import DTYPES, WireError, pack, unpack


def message(value, arrays=(), data=b""):
    """Return bytes with any header."""
    return raw(json.dumps({"value": value, "arrays": list(arrays)}).encode(), data)


def raw(header, data=b""):
    return struct.pack(">I", len(header)) + header + data


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | hnp.arrays(st.sampled_from(sorted(DTYPES)), hnp.array_shapes(min_dims=1, max_side=3)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=200)
@given(PLAIN)
def test_any_plain_value_comes_back(same, value):
    assert same(value, unpack(pack(value)))


def _only_plain(value):
    if isinstance(value, list | tuple):
        return all(map(_only_plain, value))
    if isinstance(value, dict):
        return all(type(key) is str for key in value) and all(map(_only_plain, value.values()))
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.name in DTYPES
    return value is None or type(value) in (bool, int, float, str, np.random.Generator)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["list", "tuple", "dict", "array", "rng", "bool", "float64", "x"])
    | st.integers(0, 3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=12,
)
ARRAYS = st.lists(
    st.tuples(st.sampled_from([*sorted(DTYPES), "object"]), st.lists(st.integers(-1, 4))), max_size=3
)


@settings(max_examples=300)
@given(
    st.binary(max_size=200)
    | st.builds(message, JSON, ARRAYS | JSON.map(lambda x: [x]), st.binary(max_size=40))
)
def test_any_bytes_are_refused_or_plain(data):
    try:
        value = unpack(data)
    except WireError:
        return
    assert _only_plain(value)


@settings(max_examples=200)
@given(st.data())
def test_a_message_with_some_bytes_changed_is_refused_or_plain(data):
    good = bytearray(pack({"value": [np.arange(5.0), (1, "x"), {"a": np.ones((2, 2), bool)}]}))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        value = unpack(bytes(good))
    except WireError:
        return
    assert _only_plain(value)
