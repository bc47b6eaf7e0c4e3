"""At which steps a recorder writes, also where nobody says how long the loop will be."""

from __future__ import annotations

import math
from bisect import bisect_right

from grokscope.run.curves import LAST_STEP
from grokscope.training.schedule import checkpoint_steps

SPAN = 100_000  # steps that log:N is spaced over where the last one is not known


class Schedule:
    """The steps at which a checkpoint is due: 0, those of the schedule, and the last one where it is known.

    Where it is not known, `log:N` spaces N steps evenly on a logarithmic axis from 1 to 100 000 and goes on
    at the same ratio; N goes on every N steps; a list ends.

    Args:
        text: N (every N steps), log:N (N log-spaced steps) or a list N,M,...
        last: the loop's last step, None where it is not known.

    Raises:
        SettingError: a schedule of another form, or a listed step beyond the last.
    """

    def __init__(self, text: str, last: int | None = None) -> None:
        text = text.strip()
        known = LAST_STEP if last is None else last
        opened = last is None and "," not in text
        self._steps = [] if opened else sorted(checkpoint_steps(text, known) - ({known} - {last}))
        self._every = self._count = 0
        if opened:
            checkpoint_steps(text, SPAN)  # refuses what is no schedule
            self._count = int(text.removeprefix("log:")) if text.startswith("log:") else 0
            self._every = 0 if self._count else int(text)

    def after(self, step: int) -> int | None:
        """Return the first due step after `step`; None when there is none.

        >>> Schedule("log:6").after(100), Schedule("log:6").after(100_000), Schedule("40").after(41)
        (1000, 1000000, 80)
        >>> Schedule("40", last=100).after(80), Schedule("40", last=100).after(100)
        (100, None)
        """
        if step < 0:
            return 0
        if self._every:
            return (step // self._every + 1) * self._every
        if self._count:
            return self._log_after(step)
        place = bisect_right(self._steps, step)
        return self._steps[place] if place < len(self._steps) else None

    def _log_after(self, step: int) -> int:
        ratios = max(1, self._count - 1)
        index = int(ratios * math.log(max(1, step)) / math.log(SPAN))
        while round(SPAN ** (index / ratios)) <= step:
            index += 1
        return round(SPAN ** (index / ratios))
