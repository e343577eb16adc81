"""What tables, detectors and calibrations are worth: side by side, in figures, on a page."""
