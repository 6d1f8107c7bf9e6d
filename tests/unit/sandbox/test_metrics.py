"""A share of processor time from readings of two clocks."""

from forge.sandbox.metrics import CpuMeter


def test_percent_is_of_one_processor_since_the_reading_before():
    """Half a second used in one second is 50; two processors at once are 200."""
    meter = CpuMeter(10, 1)
    assert meter.read(11, 1.5) == 50
    assert meter.read(12, 3.5) == 200
    assert meter.read(13, 3.5) == 0


def test_readings_that_follow_at_once_repeat_the_last():
    """Two askers do not spoil each other's figure by asking together."""
    meter = CpuMeter(0, 0)
    assert meter.read(0.05, 0.05) == 0
    assert meter.read(1, 0.25) == 25
    assert meter.read(1.01, 0.26) == 25
    assert meter.read(2, 0.25 + 1.0) == 100
