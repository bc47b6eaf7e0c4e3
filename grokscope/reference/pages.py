"""Which reference pages there are, and what each is made of."""

from __future__ import annotations

from grokscope.discovery import load_plugins
from grokscope.reference.commands import commands_page
from grokscope.reference.measures import claims_page, family_page, measures_page
from grokscope.reference.python import python_page
from grokscope.reference.settings import recipes_page, settings_page

DISTRIBUTION = "grokscope"


def pages() -> dict[str, str]:
    """Return every page by its path, of what grokscope's own distribution declares and no other."""
    own = [plugin for plugin in load_plugins().plugins if plugin.distribution == DISTRIBUTION]
    return {
        "commands.md": commands_page(),
        "settings.md": settings_page(own),
        "recipes.md": recipes_page(),
        "measures.md": measures_page(own),
        "claims.md": claims_page(own),
        "python.md": python_page(),
        **{f"measures/{plugin.name}.md": family_page(plugin) for plugin in own if plugin.measures},
    }
