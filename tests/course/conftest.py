"""What the tests of the exercises' checks have in common."""

import pytest

from vglib.course.calling import local
from vglib.course.checks import CheckFailed, find


@pytest.fixture
def passes():
    """Run the check of a task on a right answer and return its report."""

    def passes(topic, task, names, seed=7):
        checks = find(topic)
        return checks.run(task, local(names), checks.rng(task, seed))

    return passes


@pytest.fixture
def told(passes):
    """Run the check of a task on a wrong answer and return what it says."""

    def told(topic, task, names, seed=7):
        with pytest.raises(CheckFailed) as failed:
            passes(topic, task, names, seed)
        return str(failed.value)

    return told


@pytest.fixture
def told_of_number(told):
    """Return what the check of the predictions says when one of the right numbers is replaced."""

    def told_of_number(topic, right, which, wrong):
        answer = [wrong if k == which else number for k, number in enumerate(right)]
        return told(topic, "predictions", {"predictions": lambda: answer})

    return told_of_number
