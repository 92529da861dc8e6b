"""How examples stand at the end of a command's `--help`."""

from __future__ import annotations


def examples(*commands: str) -> str:
    """An epilog of one example a line."""
    shown = (command.replace("[", r"\[") for command in commands)
    return "\n\n".join(["[bold]Examples[/bold]", *(f"  {command}" for command in shown)])
