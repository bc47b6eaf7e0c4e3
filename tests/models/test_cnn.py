"""The built-in CNN is the textbook's, and its settings say what they must be."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from grokscope import SettingError
from grokscope.models.factories import cnn
from grokscope.tasks import digits, modadd
from grokscope.testing import example_task

SMALL = {"channels": (2, 3), "hidden": (5,)}


@pytest.fixture(scope="module")
def task():
    return digits.build()


@pytest.mark.parametrize("pool", ["max", "average"])
def test_it_is_convolution_relu_and_pooling(task, pool):
    network = cnn.build(task, **SMALL, pool=pool).double()
    w, images = network.state_dict(), task.inputs[:7].double().view(7, 1, 8, 8)
    assert torch.equal(network.encode(task.inputs[:7]), images)
    pooled = nn.MaxPool2d(2) if pool == "max" else nn.AvgPool2d(2)
    x = images
    for index in (0, 1):
        before = F.conv2d(x, w[f"convs.{index}.weight"], w[f"convs.{index}.bias"], padding=1)
        x = pooled(before.relu()) if pool == "max" else pooled(before).relu()
    x = F.linear(x.flatten(1), w["layers.0.weight"], w["layers.0.bias"]).relu()
    wanted = F.linear(x, w["layers.1.weight"], w["layers.1.bias"])
    assert (network(task.inputs[:7]) - wanted).abs().max() < 1e-12
    trace = network.trace(images)
    assert network.hidden == ("convs.0_post", "convs.1_post", "layers.0_post")
    assert [trace[name].shape for name in network.hidden] == [(7, 32), (7, 12), (7, 5)]
    assert network.values_per_example == 2 * (32 + 12 + 5)
    assert all(torch.equal(trace[name], trace[name[:-4] + "pre"].relu()) for name in network.hidden)


def test_pictures_of_ones_own_are_read_as_they_are():
    own = example_task("own")
    assert cnn.build(own, channels=(2,), hidden=())(own.inputs).shape == (400, 5)


def test_units_of_linear_layers_have_weights_of_their_own_and_those_of_convolutions_have_none(task):
    network = cnn.build(task, **SMALL)
    assert network.unit_weights("layers.0_post") == {
        "layers.0.weight": 0,
        "layers.0.bias": 0,
        "layers.1.weight": 1,
    }
    with pytest.raises(SettingError, match="model cnn does not say which"):
        network.unit_weights("convs.0_post")
    assert network.hidden_matrices() == ("layers.0.weight",)


def test_what_cannot_be_is_refused(task):
    for settings, words in (
        ({"channels": ()}, "must name 1 to 3 convolutions"),
        ({"channels": (1, 1, 1, 1)}, "halves the picture of 8 x 8, got 4"),
        ({"kernel": 4}, "kernel must be odd"),
    ):
        with pytest.raises(SettingError, match=words):
            cnn.build(task, **settings)
    with pytest.raises(SettingError, match="got task modadd of tokens"):
        cnn.build(modadd.build(p=5))
    with pytest.raises(SettingError, match=r"got task digits of vectors; use model\.name=mlp"):
        cnn.build(dataclasses.replace(task, picture=()))
