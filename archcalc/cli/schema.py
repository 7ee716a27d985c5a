"""`archcalc schema`: the spec language for editors."""

from __future__ import annotations

import typer

from archcalc import text
from archcalc.cli.command import Command
from archcalc.cli.options import Output
from archcalc.cli.output import write
from archcalc.language.schema import json_schema

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def schema(output: Output = None) -> None:
    """Print the JSON Schema of the spec language, for completion and hovers in editors.

    In a spec, `# yaml-language-server: $schema=archcalc.json` names the file.

    Examples:
    ```
    archcalc schema > archcalc.json
    archcalc schema -o archcalc.json
    ```
    """
    write([text.json(json_schema(), indent=1, ensure_ascii=False)], output)
