"""What an error says of a file is words, whatever raised it."""

import pytest

from grokscope.errors import reason_of


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("format"), "'format' is missing"),
        (KeyError("Unable to open object (object 'rows' doesn't exist)"), None),
        (ValueError("a\n  b"), "a b"),
        (ValueError(), "ValueError"),
        (KeyError(7), "7"),
    ],
)
def test_the_reason_is_in_words(error, words):
    assert reason_of(error) == (words or error.args[0])


def test_a_foreign_message_is_cut():
    assert reason_of(ValueError("x" * 5000), 200) == "x" * 200
