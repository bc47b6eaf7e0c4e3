"""The HTML around the data: one file, whose policy allows its own scripts and styles by their hash alone."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from importlib.resources import files
from string import Template
from typing import Any

SCRIPTS = ("base", "state", "scale", "curves", "pareto", "phases", "tables", "main")  # in this order
# What would end the script element that the data lies in, and what old JavaScript takes for line ends.
ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src {styles}; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)


def html(content: dict[str, Any]) -> str:
    """Return the page that shows `content`. Foreign text is only in the data, which is no script."""
    styles = [read_part("vendor", "uPlot.min.css"), read_part("page.css")]
    scripts = [_licensed(read_part("vendor", "uPlot.iife.min.js")), _page_script()]
    return Template(read_part("page.html")).substitute(
        policy=_policy(scripts, styles),
        styles=style_elements(styles),
        data=embedded_json(content),
        scripts="\n".join(f"<script>{text}</script>" for text in scripts),
    )


def embedded_json(value: Any) -> str:
    r"""Return JSON that may stand in a script element, whatever text is in it.

    >>> embedded_json({"name": "</script>&"})
    '{"name":"\\u003c/script\\u003e\\u0026"}'
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(ESCAPES)


def source_hash(text: str) -> str:
    """Return the source expression that allows the inline element of this text.

    >>> source_hash("")
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
    """
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _policy(scripts: list[str], styles: list[str]) -> str:
    return POLICY.format(
        scripts=" ".join(map(source_hash, scripts)), styles=" ".join(map(source_hash, styles))
    )


def _page_script() -> str:
    parts = "\n".join(read_part("script", f"{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _licensed(code: str) -> str:
    return f"/*\n{read_part('vendor', 'uPlot.LICENSE').strip()}\n*/\n{code}"


def style_elements(styles: Iterable[str]) -> str:
    """Return style sheets as a page's head has them."""
    return "\n".join(f"<style>{text}</style>" for text in styles)


def read_part(*place: str) -> str:
    """Return a part of the page as text, as a browser reads it."""
    # A browser reads CR LF as LF, and would then find another hash.
    return files(__package__).joinpath(*place).read_bytes().decode().replace("\r\n", "\n")
