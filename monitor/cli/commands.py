"""Click groups whose sub-commands are found, not listed."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import click


@cache
def _commands(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=group))}


class CommandGroup(click.Group):
    """Loads a sub-command when it is asked for, and none of them to list them.

    A sub-command is an entry point that leads to a click command; the first line of its module's
    docstring says what it does.

    Args:
        found: the group of entry points.
        options: of :class:`click.Group`.
    """

    def __init__(self, *args: Any, found: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._group = found

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all installed sub-commands, in order."""
        return sorted({*super().list_commands(ctx), *_commands(self._group)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The sub-command of that name, or ``None``."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in _commands(self._group):
            return own
        found = _commands(self._group)[cmd_name].load()
        if not isinstance(found, click.Command):
            raise click.ClickException(
                f"The entry point {cmd_name!r} of {self._group} must lead to a click command, it "
                f"leads to a {type(found).__name__}. Reinstall the package that brings it."
            )
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the sub-commands without importing any of them."""
        rows = [(name, _purpose(_commands(self._group)[name])) for name in _commands(self._group)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def _purpose(point: EntryPoint) -> str:
    """The first line of a module's docstring, read from its source."""
    spec = importlib.util.find_spec(point.module)
    if spec is None or spec.origin is None:
        return "(not installed)"
    source = Path(spec.origin).read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
