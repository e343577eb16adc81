"""A calibration in the hands of one monitor: whether it fits, and what may be said of it."""
