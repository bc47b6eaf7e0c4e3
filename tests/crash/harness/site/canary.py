"""Writes a file when it is imported: nothing that lies in a run directory may bring that about."""

import os

with open(os.path.join(os.environ["HARNESS_CONTROL"], "imported"), "w") as file:
    file.write("imported")
