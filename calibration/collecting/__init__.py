"""From held-out images to the calibration table: collected, kept, merged, read."""
