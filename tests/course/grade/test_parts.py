"""Long lists in parts that fit into memory."""

import pytest

from vglib.course.grading.parts import parts


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([1], [[0]]),
        ([4, 6, 1, 1], [[0, 1, 2], [3]]),
        ([11, 11], [[0], [1]]),
        ([5, 5], [[0, 1]]),
    ],
)
def test_a_part_ends_when_it_is_too_large(sizes, expected):
    assert list(parts(enumerate(sizes), most=10)) == expected


def test_a_part_is_there_before_the_next_is_asked_for():
    asked = []

    def sized():
        for number in range(4):
            asked.append(number)
            yield number, 11

    assert next(parts(sized(), most=10)) == [0]
    assert asked == [0]
