"""The ``sightline`` command: a group whose sub-commands are found, not listed."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path

import click

GROUP = "sightline.commands"


@cache
def _commands() -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=GROUP))}


class CommandGroup(click.Group):
    """Loads a sub-command when it is asked for, and none of them to list them.

    A sub-command is an entry point of the group ``sightline.commands`` that leads to a click
    command; the first line of its module's docstring says what it does.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all installed sub-commands, in order."""
        return sorted({*super().list_commands(ctx), *_commands()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The sub-command of that name, or ``None``."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in _commands():
            return own
        found = _commands()[cmd_name].load()
        if not isinstance(found, click.Command):
            raise click.ClickException(
                f"The entry point {cmd_name!r} of {GROUP} must lead to a click command, it leads "
                f"to a {type(found).__name__}. Reinstall the package that brings it."
            )
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the sub-commands without importing any of them."""
        rows = [(name, _purpose(_commands()[name])) for name in _commands()]
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


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Start here:
  sightline demo
  sightline caption photo.jpg
  sightline caption photos/ --out reports.jsonl
""",
)
@click.version_option(version("sightline"), prog_name="sightline")
def main() -> None:
    """Watch a vision-language model while it decodes, and flag the objects it makes up."""
