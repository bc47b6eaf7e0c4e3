"""Which measure saw the transition, how early, how surely: statistics over measured runs."""

CONFIDENCE = 0.95  # of intervals and tests, unless another is asked for
