"""The networks of `step.py` in PyTorch, as their authors write them."""

import torch
from torch import nn
from torch.nn import functional as F


class GCLU(nn.Module):
    """The reference's GCLU, differentiated by autograd."""

    def forward(self, x):  # noqa: D102
        p = 0.5 * (1.0 + torch.erf(x / 2.0**0.5))
        return x * torch.where(p < 0.5, p, 2.0 - p)


class RCLayer(nn.Module):
    """The reference's response calibration, with `x +`."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.hidden = nn.Linear(channels, channels // reduction)
        self.mean = nn.Linear(channels // reduction, channels)
        self.log_variance = nn.Linear(channels // reduction, channels)

    def forward(self, x):  # noqa: D102
        hidden = self.hidden(x.mean((2, 3)))
        mean = self.mean(hidden)[:, :, None, None]
        stddev = torch.exp(0.5 * self.log_variance(hidden))[:, :, None, None]
        p = 0.5 * (1.0 + torch.erf((x - mean) / (stddev + 1e-5) / 2.0**0.5))
        return x + x * torch.where(p < 0.5, p, 1.0 - p)


def conv_bn(channels, filters, size, stride=1):
    convolution = nn.Conv2d(channels, filters, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(filters))


class Block(nn.Module):
    """A residual block of two 3x3 convolutions."""

    def __init__(self, channels, filters, stride, activation, calibration):
        super().__init__()
        self.first = conv_bn(channels, filters, 3, stride)
        self.second = conv_bn(filters, filters, 3)
        self.calibration = calibration(filters) if calibration else nn.Identity()
        same = channels == filters and stride == 1
        self.shortcut = nn.Identity() if same else conv_bn(channels, filters, 1, stride)
        self.activation = activation

    def forward(self, x):  # noqa: D102
        y = self.calibration(self.second(self.activation(self.first(x))))
        return self.activation(self.shortcut(x) + y)


def cifar_resnet(depth, activation=None, calibration=None):
    """Three stages of `depth` basic blocks of 16, 32 and 64 filters."""
    activation = activation or nn.ReLU(inplace=True)
    modules, channels = [conv_bn(3, 16, 3), activation], 16
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(depth):
            stride = 2 if stage and not block else 1
            modules.append(Block(channels, filters, stride, activation, calibration))
            channels = filters
    return nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def vgg16():
    """torchvision's `vgg16_bn`, for 32x32 and ten classes."""
    modules, channels = [], 3
    for depth, width in zip((2, 2, 3, 3, 3), (64, 128, 256, 512, 512), strict=True):
        for _ in range(depth):
            modules += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width)]
            modules.append(nn.ReLU(inplace=True))
            channels = width
        modules.append(nn.MaxPool2d(2))
    modules += [nn.AdaptiveAvgPool2d(7), nn.Flatten()]
    for inputs in (7 * 7 * 512, 4096):
        modules += [nn.Linear(inputs, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5)]
    return nn.Sequential(*modules, nn.Linear(4096, 10))


class TransformerBlock(nn.Module):
    """timm's pre-norm block."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.heads = heads

    def forward(self, x):  # noqa: D102
        rows, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(rows, tokens, 3, self.heads, -1)
        mixed = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4))
        x = x + self.projection(mixed.transpose(1, 2).reshape(rows, tokens, width))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """ViT-Tiny with patches of 4x4."""

    def __init__(self, width=192, depth=12, heads=3):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 65, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(depth)))
        self.norm, self.logits = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, 10)

    def forward(self, x):  # noqa: D102
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.logits(self.norm(self.blocks(x)[:, 0]))


def training_step(model, images, labels, *, compiled=False, half=False):
    """Returns a function that makes one step of SGD on channels-last images.

    Args:
        model: The network.
        images: `(N, H, W, C)`, float32.
        labels: `(N,)`, integers.
        compiled: Whether `torch.compile` compiles the network.
        half: Whether the network runs in bfloat16 by autocast.
    """
    model = model.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
    run = torch.compile(model) if compiled else model
    images = torch.from_numpy(images).permute(0, 3, 1, 2)  # its memory is channels last
    labels = torch.from_numpy(labels)

    def step():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = F.cross_entropy(run(images).float(), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
