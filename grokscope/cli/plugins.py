"""`grokscope plugins`: every plugin, also the broken ones and why."""

from __future__ import annotations

import os
import traceback

from grokscope.cli.terminal import print_data, say, stdout_to_stderr


def plugins() -> None:
    """List the plugins: where each comes from and what it brings, or why it is broken."""
    with stdout_to_stderr():
        from grokscope.discovery import load_plugins
        from grokscope.registry import LEFT_OUT

        loaded = load_plugins()
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
