"""Networks that take more than an image, or whose layers cannot be read, are refused with what to do."""

import pytest
import torch
from hrcam import HRCAM, ModelError
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.fc = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)), nn.Linear(8, 2)

    def forward(self, x):
        return self.fc(self.a(x).mean((2, 3)))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.fc = Net(), nn.Linear(4, 2)

    def forward(self, image, table):
        return self.fc(torch.cat([self.net(image), table], 1))


class FromDictionary(Pair):
    def forward(self, batch):
        return self.net(batch["image"])


class Asks(Pair):
    def forward(self, batch):
        return self.net(batch.get("image"))


class WithKeyword(Pair):
    def forward(self, image, *, age):
        return self.fc(torch.cat([self.net(image), age], 1))


def compiled_in_place():
    net = Net()
    net.compile()
    return net


def exported():
    return torch.export.export(Net().eval(), (torch.zeros(1, 1, 64, 64),)).module()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (Pair, r"takes several inputs \(image, table\).*HRCAM\(cnn.net, …\)"),
        (WithKeyword, r"takes several inputs \(image, age\)"),
        (Asks, r"takes a dictionary \(it asks for 'image'\)"),
        (lambda: nn.Sequential(torch.jit.trace(Net(), torch.zeros(1, 1, 32, 32))), "0 is a TorchScript"),
        (compiled_in_place, "compiled.*Wrap the network first"),
        (FromDictionary, r"takes a dictionary \(it asks for 'image'\).*HRCAM\(cnn.net, …\)"),
        (exported, "exported.*Wrap the original Python network"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
def test_other_inputs_and_exported_programs_are_refused_with_what_to_do(build, message):
    for example in (None, torch.zeros(1, 1, 64, 64)):
        with pytest.raises(ModelError, match=message):
            HRCAM(build(), 2, example=example)
