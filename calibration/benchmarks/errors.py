"""What can be wrong with the files of a benchmark."""

from __future__ import annotations

from ...monitor.errors import SightlineError


class BenchmarkError(SightlineError, ValueError):
    """Questions, answers or annotations that cannot be used; the message says where and why."""
