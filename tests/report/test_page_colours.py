"""The colours of runs can be told apart by everyone."""

import re
from pathlib import Path

import numpy as np
import pytest

from grokscope.report.page import document

# Machado, Oliveira & Fernandes 2009: full protanopia, deuteranopia, tritanopia, on linear RGB.
BLIND = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}

LMS = [
    [0.4122215, 0.5363325, 0.0514460],
    [0.2119035, 0.6806995, 0.1073970],
    [0.0883025, 0.2817188, 0.6299787],
]

LAB = [
    [0.2104543, 0.7936178, -0.0040720],
    [1.9779985, -2.4285922, 0.4505937],
    [0.0259040, 0.7827718, -0.8086758],
]


def linear(colours):
    values = np.array([[int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)] for colour in colours])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def oklab(light):
    return np.cbrt(light @ np.array(LMS).T) @ np.array(LAB).T


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_the_colours_of_runs_can_be_told_apart_by_everyone_and_from_the_paper(theme):
    css = (Path(document.__file__).parent / "page.css").read_text()
    pairs = dict(re.findall(r"--([\w-]+): light-dark\((.*?)\)", css))
    names = ["paper", *(f"run-{at}" for at in range(8))]
    light = linear([pairs[name].split(", ")[theme] for name in names])
    bright = light @ [0.2126, 0.7152, 0.0722] + 0.05
    contrast = np.maximum(bright[1:], bright[0]) / np.minimum(bright[1:], bright[0])
    assert contrast.min() > 3, "WCAG 2.2, 1.4.11"
    for name, blind in {"all": np.eye(3), **BLIND}.items():
        seen = oklab(np.clip(light[1:] @ np.array(blind).T, 0, 1))
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)[np.triu_indices(8, 1)]
        assert apart.min() > 0.08, f"two colours are alike for {name}; 0.02 is just noticeable"
