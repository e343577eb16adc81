"""A calibration as a folder of files that strangers may send: JSON and arrays, no code."""
