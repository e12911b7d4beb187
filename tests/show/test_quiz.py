import re

import pytest

from vglib.show import predict

OPTIONS = {"about 0.5": "That is 0.9<sup>7</sup>.", "about 0.005": "It halves every 6.6 steps."}


def test_options_are_labelled_and_marked_in_words():
    shown = predict("What is left of <em>1</em>?", OPTIONS, right="about 0.005")
    fields = re.findall(r'<input type="radio" name="([^"]*)" id="([^"]*)"', shown.html)
    assert len({name for name, _ in fields}) == 1
    assert [named for _, named in fields] == re.findall(r'<label for="([^"]*)">', shown.html)
    assert re.findall(r"<strong>(.*?)</strong>", shown.html) == ["Not so.", "Right."]
    assert "<legend>" in shown.html
    assert "<script" not in shown.html
    assert repr(shown) == "predict: What is left of 1?"


def test_the_same_question_is_the_same_bytes_and_another_has_another_name():
    make = [predict("Why?", OPTIONS, right=right).html for right in ("about 0.5", "about 0.5", "about 0.005")]
    assert make[0] == make[1]
    names = [re.search(r'name="([^"]*)"', text)[1] for text in make]
    assert names[1] != names[2]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"question": " "}, ValueError, "question is empty"),
        ({"question": 3}, TypeError, "question must be text, not int"),
        ({"options": ["a", "b"]}, TypeError, "options must map"),
        ({"options": {"a": "b"}}, ValueError, "at least two"),
        ({"options": {"a": "b", "c": ""}}, ValueError, "feedback of 'c' is empty"),
        ({"options": {"a": "b", 3: "c"}}, ValueError, "options must be texts, not 3"),
        ({"right": "about 1"}, ValueError, "right must be one of the options, not 'about 1'"),
    ],
)
def test_errors_name_what_came(arguments, error, message):
    with pytest.raises(error, match=message):
        predict(**{"question": "What?", "options": OPTIONS, "right": "about 0.5", **arguments})
