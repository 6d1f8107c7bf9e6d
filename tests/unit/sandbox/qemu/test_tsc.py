"""The time-stamp counter's speed, measured on this host."""

from forge.sandbox.qemu import tsc


def test_the_time_stamp_counter_is_measured_twice_the_same() -> None:
    """Two measurements agree within 200 parts in a million."""
    first, second = tsc.measure_khz(), tsc.measure_khz()
    assert abs(first - second) <= first * 200 / 1_000_000
