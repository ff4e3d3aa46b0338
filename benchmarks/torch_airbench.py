"""The network and the step of `recipes/cifar10_fast.py` in PyTorch, as PyTorch is written."""

import torch
from torch import nn
from torch.nn import functional as F
from torch_models import GCLU, RCLayer

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "gclu": GCLU}


class Group(nn.Module):
    """Two convolutions, the first pooled, each normalized and activated."""

    def __init__(self, channels, filters, activation, calibration):
        super().__init__()
        self.first = convolution(channels, filters)
        self.second = convolution(filters, filters)
        self.norm1, self.norm2 = normalization(filters), normalization(filters)
        self.calibration = calibration(filters) if calibration else nn.Identity()
        self.activation = activation

    def forward(self, x):  # noqa: D102
        x = self.activation(self.norm1(F.max_pool2d(self.first(x), 2)))
        return self.activation(self.calibration(self.norm2(self.second(x))))


def convolution(channels, filters):
    """A convolution whose first filters pass on their channel."""
    layer = nn.Conv2d(channels, filters, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(layer.weight[:channels])
    return layer


def normalization(channels):
    """Batch normalization without scale."""
    layer = nn.BatchNorm2d(channels, momentum=0.4)
    layer.weight.requires_grad = False
    return layer


class Airbench94(nn.Module):
    """A frozen first convolution and three groups."""

    def __init__(self, activation="gelu", calibration=None, widths=(64, 256, 256)):
        super().__init__()
        self.activation = ACTIVATIONS[activation]()
        self.whitening = nn.Conv2d(3, 24, 2)
        self.whitening.weight.requires_grad = False
        channels = (24, *widths[:-1])
        self.groups = nn.Sequential(
            *(
                Group(c, f, self.activation, calibration)
                for c, f in zip(channels, widths, strict=True)
            )
        )
        self.logits = nn.Linear(widths[-1], 10, bias=False)
        nn.init.normal_(self.logits.weight, std=1 / widths[-1])

    def forward(self, x):  # noqa: D102
        x = self.groups(self.activation(self.whitening(x)))
        return self.logits(x.amax((2, 3)))


def with_rc_layers(activation="gelu"):
    """The network with an RC Layer in every group."""
    return Airbench94(activation, lambda channels: RCLayer(channels, 16))


class Muon:
    """Orthogonalized momentum for kernels of convolutions, which keep their norm."""

    def __init__(self, kernels, learning_rate, momentum=0.6, steps=3):
        self.kernels, self.rate = kernels, learning_rate
        self.momentum, self.steps = momentum, steps
        self.velocities = [torch.zeros_like(kernel) for kernel in kernels]

    @torch.no_grad()
    def step(self):
        """Moves every kernel."""
        for kernel, velocity in zip(self.kernels, self.velocities, strict=True):
            velocity.mul_(self.momentum).add_(kernel.grad)
            ahead = kernel.grad.add(velocity, alpha=self.momentum).flatten(1)
            kernel.mul_(len(kernel) ** 0.5 / kernel.norm())
            kernel.sub_(self.rate * orthogonalized(ahead, self.steps).view(kernel.shape))


def orthogonalized(matrix, steps):
    """Newton-Schulz of a matrix with no more rows than columns, in bfloat16."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.float()


def training_step(model, images, labels, *, compiled=False, half=False):
    """Returns a function that makes one step on channels-last images.

    Args:
        model: The network.
        images: `(N, H, W, C)`, float32.
        labels: `(N,)`, integers.
        compiled: Whether `torch.compile` compiles the network.
        half: Whether the network runs in bfloat16 by autocast.
    """
    model = model.train().to(memory_format=torch.channels_last)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    muon = Muon([weight for weight in weights if weight.ndim == 4], 0.24)
    others = [weight for weight in weights if weight.ndim != 4]
    sgd = torch.optim.SGD(others, 0.01, momentum=0.85, weight_decay=0.01, nesterov=True)
    run = torch.compile(model) if compiled else model
    images = torch.from_numpy(images).permute(0, 3, 1, 2)  # its memory is channels last
    labels = torch.from_numpy(labels)

    def step():
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = F.cross_entropy(run(images).float(), labels, label_smoothing=0.2)
        loss.backward()
        muon.step()
        sgd.step()
        return loss.item()

    return step
