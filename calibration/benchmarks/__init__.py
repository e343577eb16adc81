"""Benchmarks of the field, in the formats of their own files and with their own rules."""
