"""A network and data of one's own: all that grokscope needs to know of them are these two functions."""

import torch
from torch import nn


def net():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 10)
    )


def digits():
    from sklearn.datasets import load_digits

    x, y = (torch.tensor(part) for part in load_digits(return_X_y=True))
    x = (x / 16).float().view(-1, 1, 8, 8)
    return (x[:400], y[:400]), (x[400:], y[400:])
