"""The reference pages: what declarations already say, set as Markdown, so that no table is written by hand.

`python -m grokscope.reference` writes them to `examples/reference`; with `--check` it says which are not as
declared.
"""
