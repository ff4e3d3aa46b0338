"""What the figures of the benchmarks ought to be."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Target:
    """A bound for one figure.

    Args:
        words: What is measured.
        benchmark: The script that measures it.
        figure: Its name there.
        at_most: Upper bound, or `None`.
        at_least: Lower bound, or `None`.
        unit: Of figure and bound.
        tried: If it is not met: what was tried, and where the floor is.
    """

    words: str
    benchmark: str
    figure: str
    at_most: float | None = None
    at_least: float | None = None
    unit: str = "x"
    tried: str = ""

    def met(self, value):
        """Returns whether a value keeps the bound."""
        if self.at_most is not None:
            return value <= self.at_most
        return value >= self.at_least


SMALL = "crop, flip"
TABLE_3 = "crop, flip, AutoAugment, erasing, MixUp or CutMix"
TARGETS = (
    Target(
        "GCLU, forward + backward, by exact GELU", "activations", "GCLU / exact GELU", at_most=0.55
    ),
    Target("... by GCLU left to autodiff", "activations", "GCLU / differentiated", at_most=0.4),
    Target(
        "step of ResNet-8: GCLU by ReLU",
        "step",
        "ResNet-8 + GCLU / ResNet-8",
        at_most=1.12,
        tried="`a square` is the floor of every activation that keeps its input, in compiled "
        "loops. A cheaper exponential of our own gained too little for its code.",
    ),
    Target(
        "step of ResCNet-32 by ResNet-32",
        "step",
        "ResCNet-32 / ResNet-32",
        at_most=1.10,
        tried="`forward only` is what is left with a backward pass that does nothing. The backward "
        "pass has to read the response and its gradient, add up two products over every map, "
        "and read both again. Tried: one loop with three results (kept), sums inside of XLA "
        "(far slower), by matrix product, by pooling, over slices, and a second loop that "
        "computes all again instead of writing it (no gain).",
    ),
    Target(
        "step of ResCNet-50 by ResNet-50, CIFAR",
        "step",
        "ResCNet-50, CIFAR / ResNet-50, CIFAR",
        at_most=1.06,
        tried="the same; a bottleneck's last map is four times as wide as what its convolutions "
        "work on, so the layer weighs as much as in ResNet-32.",
    ),
    Target("speed by PyTorch's: ResNet-32", "step", "ResNet-32, PyTorch / ResNet-32", at_least=1.0),
    Target("... ResCNet-32", "step", "ResCNet-32, PyTorch / ResCNet-32", at_least=1.5),
    Target(
        "... ResNet-8 with GCLU",
        "step",
        "ResNet-8 + GCLU, PyTorch / ResNet-8 + GCLU",
        at_least=2.0,
        tried="it lies at the bound, and falls on either side of it from run to run.",
    ),
    Target("... VGG-16", "step", "VGG-16, PyTorch / VGG-16", at_least=1.0),
    Target(
        "... ViT-Tiny",
        "step",
        "ViT-Tiny, PyTorch / ViT-Tiny",
        at_least=1.0,
        tried="it lies at the bound, and falls on either side of it from run to run. What is left "
        "was not looked for.",
    ),
    Target("`train` by bare compiled steps", "trainer", "train / bare", at_most=1.03),
    Target(
        "share of a ResNet-8 step that data costs",
        "waiting",
        "share of a step that data costs",
        at_most=0.02,
        unit="",
    ),
    Target(
        "crop, flip, normalize on one core",
        "pipeline",
        f"{SMALL}: images/s",
        at_least=80_000,
        unit="images/s",
    ),
    Target(
        "Table 3's chain on one core",
        "pipeline",
        f"{TABLE_3}: images/s",
        at_least=12_000,
        unit="images/s",
    ),
    Target(
        "... by keras-cv's nearest",
        "pipeline",
        f"{TABLE_3}: ours / keras-cv (RandAugment)",
        at_least=5.0,
    ),
    Target("`train.py --help`", "start", "train.py --help", at_most=0.3, unit="s"),
    Target(
        "first training step of the quickstart",
        "start",
        "first step of digits_gclu_resnet8",
        at_most=15.0,
        unit="s",
    ),
)
