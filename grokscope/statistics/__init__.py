"""Which measure saw the transition, how early, how surely: statistics over measured runs."""
