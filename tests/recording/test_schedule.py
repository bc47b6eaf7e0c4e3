import pytest

from grokscope.errors import SettingError
from grokscope.recording.schedule import Schedule
from grokscope.training.schedule import checkpoint_steps


def due(schedule, until):
    found, step = [], schedule.after(-1)
    while step is not None and step <= until:
        found.append(step)
        step = schedule.after(step)
    return found


@pytest.mark.parametrize("text", ["4", "log:7", "log:1", "2,3", "0,9", "1", "log:10"])
def test_where_the_last_step_is_known_it_is_the_schedule_of_train(text):
    assert due(Schedule(text, 10), 1000) == sorted(checkpoint_steps(text, 10))


@pytest.mark.parametrize("text", ["log:60", "log:200", "log:3"])
def test_log_is_that_of_100_000_steps_where_the_last_is_not_known(text):
    schedule = Schedule(text)
    assert due(schedule, 100_000) == sorted(checkpoint_steps(text, 100_000))
    ratio = 100_000 ** (1 / (int(text[4:]) - 1))
    assert schedule.after(100_000) == round(100_000 * ratio)


def test_every_n_goes_on_and_a_list_ends():
    assert due(Schedule("30"), 100) == [0, 30, 60, 90]
    assert due(Schedule("30, 7"), 10**8) == [0, 7, 30]


@pytest.mark.parametrize("text", ["often", "0", "log:0", "log:x", "-5", "3,x", ""])
def test_what_is_no_schedule_is_refused_though_the_last_step_is_not_known(text):
    with pytest.raises(SettingError, match=r"checkpoint_every must be N \(every N steps\)"):
        Schedule(text)


def test_a_list_beyond_the_last_step_is_refused():
    with pytest.raises(SettingError, match=r"must list steps up to training\.steps=10, got 11"):
        Schedule("5,11", 10)
