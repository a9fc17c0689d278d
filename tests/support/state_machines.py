"""Settings of Hypothesis for searches over sequences of steps."""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def machine_settings(seed: int, examples: int, steps: int) -> settings:
    """Return the settings of a search of *examples* sequences of up to *steps* steps, and print its *seed*."""
    print(f"OBSUP_TEST_SEED={seed}")
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
