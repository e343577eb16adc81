"""Captions by many workers, on one machine or many: Ray Data is the engine."""
