"""Figures of a calibration: each holds its numbers, says what to see in them, and draws itself."""
