"""Training steps of PyTorch and torchjd, taken one by one on demand; a program for `benchmarks.torch_side`.

It runs in an environment of its own that holds torch and torchjd only. Each line it reads is a step to take, as
`case way`; it answers with the milliseconds that the step took, by the clock and of the processor.
"""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional
from torchjd.aggregation import MGDA
from torchjd.autojac import jac_to_grad, mtl_backward


class Block(nn.Module):
    """A basic residual block."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(after), nn.BatchNorm2d(after)])
        self.short = nn.Sequential()
        if stride != 1 or before != after:
            self.short = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inside = functional.relu(self.norms[0](self.first(x)))
        return functional.relu(self.norms[1](self.second(inside)) + self.short(x))


def lenet() -> nn.Module:
    convolutions = [nn.Conv2d(1, 10, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(10, 20, 5), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.LazyLinear(50), nn.ReLU())


def resnet(width: int = 32) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    before = width
    for stage in range(4):
        after = width * 2**stage
        layers += [Block(before, after, 1 if stage == 0 else 2), Block(after, after, 1)]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def attributes() -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(before, after, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 128), nn.ReLU())


TRUNKS = {"lenet": lenet, "resnet": resnet, "attributes": attributes}


class Training:
    """One model with its optimizer, and a batch."""

    def __init__(self, case: dict, way: str):
        torch.manual_seed(0)
        height, width, channels = case["image"]
        self.way = way
        self.images = torch.randn(case["batch"], channels, height, width)
        self.trunk = TRUNKS[case["trunk"]]()
        size = self.trunk(self.images).shape[1]
        self.heads = nn.ModuleList([nn.Linear(size, case["classes"]) for _ in range(case["tasks"])])
        high = max(case["classes"], 2)
        self.labels = [torch.randint(0, high, (case["batch"],)) for _ in range(case["tasks"])]
        self.binary = case["classes"] == 1
        self.optimizer = torch.optim.Adam(self.parameters(), 1e-3)
        self.aggregator = MGDA()

    def parameters(self) -> list[nn.Parameter]:
        return [*self.trunk.parameters(), *self.heads.parameters()]

    def step(self) -> None:
        self.optimizer.zero_grad()
        features = self.trunk(self.images)
        losses = [self.loss(head(features), labels) for head, labels in zip(self.heads, self.labels, strict=True)]
        if self.way == "plain":
            torch.stack(losses).sum().backward()
        else:
            mtl_backward(losses, features, parallel_chunk_size=1 if self.way == "one by one" else None)
            jac_to_grad(list(self.trunk.parameters()), self.aggregator)
        self.optimizer.step()

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.binary:
            return functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float())
        return functional.cross_entropy(logits, labels)


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]))
    print(json.dumps({"torch": torch.__version__}), flush=True)
    training = None
    for line in sys.stdin:
        order = json.loads(line)
        if "case" in order:
            training = {way: Training(order["case"], way) for way in order["ways"]}
            trained = [p.numel() for p in training["plain"].parameters()]
            print(json.dumps({"parameters": sum(trained)}), flush=True)
            continue
        assert training is not None
        began, cpu = time.perf_counter(), time.process_time()
        training[order["way"]].step()
        taken = {"clock": 1e3 * (time.perf_counter() - began), "processor": 1e3 * (time.process_time() - cpu)}
        print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main()
