"""Recorders for the loops of other libraries; each file imports the library that it is called after."""
