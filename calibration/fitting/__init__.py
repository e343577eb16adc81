"""From a calibration table to a calibrated detector that keeps a promise."""
