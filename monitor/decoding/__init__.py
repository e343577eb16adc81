"""A generation that can be paused, taken back and gone on with, through ``generate`` alone."""
