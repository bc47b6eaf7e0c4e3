"""`grokscope plugins`: every plugin, also the broken ones and why."""

from __future__ import annotations

import os
import traceback

from grokscope.cli.options import Json
from grokscope.cli.terminal import print_data, print_json, say, stdout_to_stderr


def plugins(*, json: Json = False) -> None:
    """List the plugins: where each comes from and what it brings, or why it is broken.

    Examples:
        grokscope plugins
        grokscope plugins --json --no-plugins oinfo
    """
    with stdout_to_stderr():
        from grokscope.discovery import load_plugins
        from grokscope.registry import LEFT_OUT

        loaded = load_plugins()
    if json:
        from grokscope.report.described import plugin_as_dict

        print_json([plugin_as_dict(each) for each in loaded.plugins])
    else:
        from grokscope.report.registry import plugins_table

        print_data(plugins_table(loaded))
    for sentence in loaded.slow:
        say(sentence)
    if loaded.left_out:
        say(f"left out, by --no-plugins or {LEFT_OUT}: {', '.join(loaded.left_out)}")
    if os.environ.get("GROKSCOPE_DEBUG"):
        for plugin in loaded.plugins:
            if plugin.error is not None:
                say("".join(traceback.format_exception(plugin.error)))
