"""A finished caption looked at again: where the model looked, and what the image read as."""

from .inspector import inspect

__all__ = ["inspect"]
