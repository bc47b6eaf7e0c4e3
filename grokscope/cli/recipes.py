"""`grokscope recipes`: the named training configurations, their source, and what each must show."""

from __future__ import annotations

from typing import Annotated

import typer

from grokscope.cli.terminal import print_data


def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe, shown in full.", show_default=False)] = None,
) -> None:
    """List the recipes, or print NAME as the TOML file that `train --recipe` takes."""
    from grokscope.training.recipes import load_recipes, recipe_text

    if name is not None:
        print_data(recipe_text(name))
        return
    from rich.console import Group
    from rich.text import Text

    from grokscope.report.kit import foreign, plain_table

    table = plain_table("recipe", "task", "what it is")
    for recipe in load_recipes().values():
        story = Group(
            foreign(recipe.summary),
            foreign(f"source: {recipe.source}", "dim"),
            foreign(f"must show: {recipe.must_show}", "dim"),
            foreign(f"seen: {recipe.seen}", "dim"),
            Text(),
        )
        table.add_row(foreign(recipe.name, "bold"), foreign(recipe.task), story)
    print_data(table)
