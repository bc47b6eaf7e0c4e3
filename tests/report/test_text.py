"""Foreign text is disarmed, numbers read well, exports are valid."""

import json
import math

from grokscope.report import text


def test_sparkline_has_a_blank_where_nothing_is_finite():
    assert text.sparkline([math.nan, 1.0, 2.0], 3) == " ▁█"
    assert text.sparkline([math.nan], 3) == " "
    assert text.sparkline([5.0, 5.0], 2) == "▁▁"


def test_sparkline_averages_when_there_is_no_room():
    assert text.sparkline([0, 0, 10, 10], 2) == "▁█"


def test_json_has_null_for_what_is_not_finite():
    parsed = json.loads(text.json_text({"a": [math.nan, 1.0, math.inf], "b": (2,)}))
    assert parsed == {"a": [None, 1.0, None], "b": [2]}


def test_links_and_escapes_do_not_reach_the_terminal():
    assert "\x1b" not in text.printable("\x1b]8;;http://example.invalid\x1b\\x")


def test_only_text_is_guarded_against_spreadsheets():
    assert text.csv_cell("@sum") == "'@sum"
    assert text.csv_cell("\tx") == "'\tx"
    assert text.csv_cell(-2) == -2
    assert text.csv_cell(-0.1) == "-0.1"
