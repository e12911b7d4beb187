"""Plain values as bytes: they come back as they went, and bytes that lie are refused before they cost."""

import json
import struct

import numpy as np
import pytest

from vglib.course.wire import DTYPES, MAX_DEPTH, MAX_NUMBERS, WireError, pack, unpack

SAME = [
    *(None, True, False, 0, -1, 2**63 - 1, -(2**63) + 1, 0.0, -0.0, 1e308, float("inf"), ""),
    *(
        "naïve – 中文 😀",
        "\0\n",
        "x" * 2**16,
        [],
        (),
        {},
        [[]],
        ((),),
        [1, (2, {"a": [3]})],
        {"": {"list": 1}},
    ),
]


@pytest.mark.parametrize("value", SAME, ids=lambda value: repr(value)[:30])
def test_plain_values_come_back(value, same):
    assert same(value, unpack(pack(value)))


@pytest.mark.parametrize("dtype", sorted(DTYPES))
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 1), (1,) * 16])
def test_arrays_come_back(dtype, shape, same):
    array = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
    back = unpack(pack(array))
    assert same(array[()], back)
    assert np.ndim(back) == 0 or back.flags.writeable


def test_arrays_of_all_layouts_come_back():
    plain = np.arange(24.0).reshape(2, 3, 4)
    for array in (plain.T, plain[:, ::-1], plain[:, ::2, 1], plain.astype(">f8"), np.asfortranarray(plain)):
        back = unpack(pack(array))
        np.testing.assert_array_equal(back, array)
        assert back.dtype == np.float64
    assert np.isnan(unpack(pack(np.array([np.nan, np.inf])))).tolist() == [True, False]


def test_tensors_cross_as_arrays(torch, same):
    tensor = torch.ones(3, requires_grad=True)
    assert same(
        unpack(pack([tensor * 2, torch.tensor(1, dtype=torch.int64)])), [np.full(3, 2.0, "f4"), np.int64(1)]
    )


def test_a_generator_crosses_as_a_seed():
    one, other = np.random.default_rng(3), np.random.default_rng(3)
    message = pack({"rng": one})
    assert message == pack({"rng": other})
    assert unpack(message)["rng"].random() == unpack(message)["rng"].random()
    assert pack({"rng": one}) != message


def test_what_counts_as_a_number_is_one():
    class Mine(float):
        def __eq__(self, other):
            return True

        __hash__ = float.__hash__

    class Whole(int):
        pass

    class Text(str):
        __slots__ = ()

    assert [type(value) for value in unpack(pack([Mine(2), Whole(3), Text("x"), True]))] == [
        float,
        int,
        str,
        bool,
    ]
    assert unpack(pack("\ud800")) == "?"


class _Lies:
    """Says that it is an array."""

    def __init__(self, array):
        self.array = array

    def __array__(self, *about, **more):
        return self.array


def loop():
    """Return a list that holds itself."""
    one = []
    one.append(one)
    return one


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (object(), "an object of the kind object"),
        (print, "builtin_function"),
        ({1, 2}, "kind set"),
        (b"x", "kind bytes"),
        (1j, "kind complex"),
        (2**63, "a whole number of 64 bits"),
        (-(2**70), "71 bits"),
        ({1: 2}, "a key of the kind int"),
        ({"a": {None: 2}}, "a key of the kind NoneType"),
        (np.array([None]), "dtype object"),
        (np.array(["x"]), "dtype <U1"),
        (np.array([(1, 2.0)], dtype="i4,f8"), "dtype"),
        (np.datetime64("2026-01-01"), "dtype datetime64"),
        (np.longdouble(1), "numbers are wanted"),
        (_Lies(np.array([print])), "dtype object"),
        (np.broadcast_to(1.0, (10**6, 10**6)), "1,000,000,000,000 numbers"),
        ([np.ones(MAX_NUMBERS // 2, "i1")] * 3, "3,145,728 numbers"),
        (loop(), "deep"),
        ("x" * (2**16 + 1), "65,537 characters"),
        ({"x" * (2**16 + 1): 1}, "65,537 characters"),
        ([0.0] * 10**6, "bytes of lists and text"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_cross_is_named(value, why):
    with pytest.raises(WireError, match=why):
        pack(value)


def message(value, arrays=(), data=b""):
    """Return bytes with any header."""
    return raw(json.dumps({"value": value, "arrays": list(arrays)}).encode(), data)


def raw(header, data=b""):
    return struct.pack(">I", len(header)) + header + data


def deep(levels):
    value = 1
    for _ in range(levels):
        value = ["list", value]
    return value


ONE, EIGHT = ["float64", [1]], b"\0" * 8
LIES = {
    "nothing": (b"", "without a header"),
    "three bytes": (b"\0\0\0", "without a header"),
    "longer than there is": (struct.pack(">I", 100) + b"{}", "longer than its message"),
    "longer than allowed": (struct.pack(">I", 2**20 + 1) + b" " * (2**20 + 1), "longer than its message"),
    "no JSON": (raw(b"{"), "cannot be read"),
    "no UTF-8": (raw(b'"\xff"'), "cannot be read"),
    "deep JSON": (raw(b"[" * 10**6), "cannot be read"),
    "a long number": (raw(b"9" * 10**5), "cannot be read"),
    "a list": (raw(b"[]"), "without a value"),
    "a key too many": (raw(b'{"value": 1, "arrays": [], "x": 1}'), "without a value"),
    "arrays that are none": (raw(b'{"value": 1, "arrays": {}}'), "without a value"),
    "rest": (message(1, data=b"x"), "more bytes than"),
    "an array that is a text": (message(1, ["float64"]), "without dtype and shape"),
    "an array with three parts": (message(1, [["float64", [1], 0]], EIGHT), "without dtype and shape"),
    "objects": (message(["array", 0], [["object", [1]]], EIGHT), "unknown dtype"),
    "a dtype with fields": (message(["array", 0], [["f8,f8", [1]]], EIGHT * 2), "unknown dtype"),
    "a dtype that is a list": (message(["array", 0], [[["f8"], [1]]], EIGHT), "unknown dtype"),
    "a negative length": (message(["array", 0], [["float64", [-1]]], EIGHT), "impossible shape"),
    "a length that is True": (message(["array", 0], [["float64", [True]]], EIGHT), "impossible shape"),
    "a length of 1.0": (message(["array", 0], [["float64", [1.0]]], EIGHT), "impossible shape"),
    "many axes": (message(["array", 0], [["float64", [1] * 17]], EIGHT), "impossible shape"),
    "a huge length": (message(["array", 0], [["bool", [2**60]]], b"x"), "impossible shape"),
    "a huge product": (message(["array", 0], [["bool", [2**20] * 16]], b"x"), "fewer bytes"),
    "nothing by much": (message(["array", 0], [["bool", [0, *[2**25] * 15]]]), "impossible shape"),
    "too few bytes": (message(["array", 0], [["float64", [2]]], EIGHT), "fewer bytes"),
    "too many numbers": (message(["array", 0], [["bool", [2**22]]], b"\0" * 2**22), "too many numbers"),
    "too many arrays": (message(1, [["bool", [0]]] * 60_000), "too many arrays"),
    "an array that is not there": (message(["array", 0]), "no known kind"),
    "an array before the first": (message(["array", -1], [ONE], EIGHT), "no known kind"),
    "an array twice": (message(["list", *[["array", 0]] * 2], [ONE], EIGHT), "no known kind"),
    "arrays out of order": (
        message(["list", ["array", 1], ["array", 0]], [ONE] * 2, EIGHT * 2),
        "no known kind",
    ),
    "an array for nothing": (message(1, [ONE], EIGHT), "not in its value"),
    "an object": (message({"a": 1}), "no known kind"),
    "an empty list": (message([]), "no known kind"),
    "an unknown kind": (message(["set", 1]), "no known kind"),
    "a kind that is a list": (message([["list"], 1]), "no known kind"),
    "a seed below 0": (message(["rng", -1]), "no known kind"),
    "a seed of 100 bits": (message(["rng", 2**100]), "64 bits|no known kind"),
    "a seed that is a text": (message(["rng", "1"]), "no known kind"),
    "a dict with numbers": (message(["dict", [1, 2]]), "keys are no text"),
    "a dict of threes": (message(["dict", ["a", 1, 2]]), "keys are no text"),
    "a long whole number": (message(2**63), "64 bits"),
    "half a character": (message("\ud800"), "a text that is none"),
    "half a character in a key": (message(["dict", ["\ud800", 1]]), "a text that is none"),
    "much text": (message("x" * 70_000), "too much text"),
    "one long text of many": (message(["list", "x" * 60_000, *[0] * 40_000]), "too much text"),
    "deep": (message(deep(MAX_DEPTH + 3)), "too deep"),
    "many": (message(["list", *[0] * 60_000]), "too many values"),
}


@pytest.mark.parametrize("name", LIES)
def test_bytes_that_lie_are_refused(name):
    data, why = LIES[name]
    with pytest.raises(WireError, match=why):
        unpack(data)


def test_the_depth_of_proofs_crosses(same):
    value = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert same(value, unpack(pack(value)))


def test_a_bool_is_0_or_1_whatever_came():
    assert unpack(message(["array", 0], [["bool", [4]]], b"\0\1\2\xff")).view("u1").tolist() == [0, 1, 1, 1]
