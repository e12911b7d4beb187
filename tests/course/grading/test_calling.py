"""Calls of a learner's functions: what is asked, what comes back, and what is said if it goes wrong."""

import numpy as np
import pytest

from vglib.course.calling import Call, CheckFailed, answer, local
from vglib.course.wire import pack, unpack


def double(x):
    return 2 * x


def test_a_function_gets_copies_and_gives_plain_values():
    given = np.ones(3)

    def spoil(x):
        x[...] = 7
        return [x, (1, "a"), {"b": None}]

    result = local({"f": spoil})("f", given)
    assert given.tolist() == [1, 1, 1]
    assert result[0].tolist() == [7, 7, 7]
    assert result[1:] == [(1, "a"), {"b": None}]


def test_many_calls_are_one_exchange():
    sent = []

    def send(request):
        sent.append(unpack(request))
        return answer({"f": double}, request)

    assert Call(send).many("f", [(1,), (2.5,)]) == [2, 5.0]
    assert sent == [{"name": "f", "calls": [(1,), (2.5,)]}]
    assert Call(send)("f", "ab") == "abab"


def test_each_call_has_a_generator_of_its_own():
    drawn = local({"f": lambda rng: rng.random()}).many("f", [(np.random.default_rng(1),)] * 2)
    assert drawn[0] != drawn[1]


def raising(error):
    def function(*inputs):
        raise error

    return function


class Unspeakable(Exception):  # noqa: N818 - it is unspeakable
    """Has no text."""

    def __str__(self):
        return ""


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (5, "`f` is no function any more"),
        (raising(NotImplementedError()), "`f` is still empty"),
        (raising(ValueError("wrong")), "`f` raises ValueError: wrong"),
        (raising(SystemExit(3)), "`f` raises SystemExit: 3"),
        (raising(RecursionError()), "`f` raises RecursionError"),
        (raising(Unspeakable()), "`f` raises Unspeakable"),
        (lambda x: None, "`f` gives None back"),
        (lambda: 1, "raises TypeError"),
        (lambda x: print, "gives back an object of the kind builtin_function_or_method"),
        (lambda x: np.array([None]), "gives back an array of dtype object"),
        (lambda x: iter([1]), "gives back an object of the kind list_iterator"),
    ],
)
def test_what_is_wrong_with_a_function_is_said(function, why):
    with pytest.raises(CheckFailed, match=why):
        local({"f": function})("f", 1)


def test_a_function_that_is_missing_is_named():
    with pytest.raises(CheckFailed, match="`f` does not exist: run the cell"):
        local({})("f")


def test_an_interrupt_is_the_learners_own():
    with pytest.raises(KeyboardInterrupt):
        local({"f": raising(KeyboardInterrupt())})("f")


@pytest.mark.parametrize(
    "reply",
    [
        pack(1),
        pack([]),
        pack({}),
        pack({"value": 1, "more": 2}),
        pack({"error": ["a", "list"]}),
        pack({"error": 5}),
        pack({"value": 1}),
        pack({"value": (1,)}),
        pack({"value": [1, 2]}),
        pack({"value": np.ones(1)}),
    ],
)
def test_a_reply_in_another_form_is_no_answer(reply):
    with pytest.raises(CheckFailed, match="`f` did not answer in the agreed form"):
        Call(lambda request: reply)("f")


@pytest.mark.parametrize("reply", [b"", b"x" * 100, pack({"value": [1]})[:-1], pack({"value": [1]}) + b"x"])
def test_a_reply_that_cannot_be_read_is_no_answer(reply):
    with pytest.raises(CheckFailed, match="`f` gave back what cannot be read"):
        Call(lambda request: reply)("f")


def test_an_error_is_cut():
    with pytest.raises(CheckFailed) as failed:
        Call(lambda request: pack({"error": "x" * 50_000}))("f")
    assert len(str(failed.value)) == 2000


def test_a_proof_comes_as_trees_and_its_mistakes_as_words():
    steps = local({"f": lambda: [("a = b", "definition")]}).proof("f")
    assert len(steps) == 1
    with pytest.raises(CheckFailed, match="step"):
        local({"f": lambda: [("a = ", "definition")]}).proof("f")
    with pytest.raises(CheckFailed):
        local({"f": lambda: 5}).proof("f")
