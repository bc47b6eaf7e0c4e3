"""Kills and refuses grokscope's commands at every step; see tests/crash."""
