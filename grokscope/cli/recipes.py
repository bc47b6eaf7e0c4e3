"""`grokscope recipes`: the named training configurations, their source, and what each must show."""

from __future__ import annotations

from typing import Annotated

import typer

from grokscope.cli import completing
from grokscope.cli.options import Json
from grokscope.cli.terminal import print_data, print_json


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A recipe, shown in full.", show_default=False, autocompletion=completing.recipes
        ),
    ] = None,
    *,
    json: Json = False,
) -> None:
    """List the recipes, or print NAME as the TOML file that `train --recipe` takes.

    Examples:
        grokscope recipes
        grokscope recipes nanda
    """
    from grokscope.training.recipes import load_recipe, load_recipes, recipe_text

    if json:
        from grokscope.report.described import recipe_as_dict

        chosen = load_recipes().values() if name is None else [load_recipe(name)]
        print_json([recipe_as_dict(each) for each in chosen])
        return
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
