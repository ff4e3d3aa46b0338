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
JPEG = "JPEG to 224 x 224: crop, flip"
HALF = ", bfloat16"
RECIPES = ("gclu_resnet8", "resnet32", "rescnet32", "gclu_vgg16", "fast")  # cifar10_...

GCLU_FLOOR = (
    "`a square` is the floor of every activation that keeps its input, in compiled loops; what "
    "GCLU has above it is arithmetic. Tried: normalized maps computed again in the gradient's "
    "loop instead of kept (kept, in float32), conversions with the CPU's vectors in half precision "
    "(kept), a cheaper exponential, Mills' ratio in another variable, its polynomial by pairs (no "
    "gain worth their code)."
)
RC_FLOOR = (
    "`forward only` is what is left with a backward pass that does nothing. The backward pass has "
    "to read the response and its gradient, add up two products over every map, and read both "
    "again. Tried: one loop with three results (kept), three loops (faster alone, not in the "
    "step), sums inside XLA (far slower), by matrix product, by pooling, over slices, and a "
    "second loop that computes all again instead of writing it (no gain)."
)
BOTTLENECK_FLOOR = (
    "the same; a bottleneck's last map is four times as wide as what its convolutions work on, so "
    "the layer weighs as much as in ResNet-32."
)
TORCH_FLOOR = (
    "`torch.compile` makes loops of normalization, activation and shortcut; TensorFlow normalizes "
    "in an operation of its own. Measured on a map of 8 MB: that operation takes 0.69 ms forward, "
    "its statistics alone 0.62 ms and a loop over the map 0.61 ms, so to part them wins nothing. "
    "`jit_compile` of the whole step, and Keras on JAX, take 2.5 x as long."
)
VIT_FLOOR = (
    "in TensorFlow's profiler products of matrices take 2.0 of 2.6 s of a step in float32 and 1.0 "
    "of 1.5 s in bfloat16: a float32 step of products alone would be below 1.5 x, too. Tried: GELU "
    "in loops with a written gradient (kept, as the transformers' default: 7 % and 12 % less "
    "time). Beside the products stand layer normalization, operation by operation, and sums for "
    "the gradients of biases."
)
FAST_FLOOR = (
    "convolutions take nine tenths of a step, 1.67 of 1.87 s in float32 and 1.14 of 1.32 s in "
    "bfloat16 (profiler, batch 500). In bfloat16 the gradients of kernels take 0.61 s, as long as "
    "in float32, where the other two products of a convolution take 0.27 s each: oneDNN computes "
    "them at 240 to 280 GFLOP/s, those at 410 to 520, and a product of large matrices at 415. "
    "Tried: these gradients as products of matrices, of patches or of nine slices of the maps, and "
    "as a convolution of transposed maps (faster on maps of 7 x 7 and 3 x 3, slower on larger "
    "ones: a tenth of the step at most, for code of its own); one thread each for two steps side "
    "by side (4 % more images/s together)."
)
SPEEDS = {  # of a step, by PyTorch's: at least, and what was tried
    "ResNet-32": (1.0, TORCH_FLOOR),
    "ResCNet-32": (1.0, TORCH_FLOOR),
    "ResNet-8 + GCLU": (1.0, TORCH_FLOOR),
    "VGG-16": (1.0, TORCH_FLOOR),
    "ViT-Tiny": (1.5, VIT_FLOOR),
    "fast network": (1.0, FAST_FLOOR),
}


def _in_both(words, figure, tried, **bound):
    """Returns the targets of a figure of `step` in float32 and in bfloat16."""
    return [
        Target(words + half, "step", figure.format(half=half), tried=tried, **bound)
        for half in ("", HALF)
    ]


OPTIMIZER_FLOOR = (
    "PyTorch's `fused` decays and moves a weight in one pass over memory; TensorFlow has an "
    "operation for the moments and the weight, and one or two before it for the decay. Tried: the "
    "weights of SGD in one compiled loop (a quarter less time where the loop holds the variables, "
    "more where it returns new ones: no gain worth its code)."
)

TARGETS = (
    Target(
        "GCLU / exact GELU, forward + backward", "activations", "GCLU / exact GELU", at_most=0.55
    ),
    Target("... / GCLU left to autodiff", "activations", "GCLU / differentiated", at_most=0.4),
    *_in_both(
        "step of ResNet-8: GCLU / ReLU",
        "ResNet-8 + GCLU{half} / ResNet-8{half}",
        GCLU_FLOOR,
        at_most=1.08,
    ),
    *_in_both(
        "step: ResCNet-32 / ResNet-32",
        "ResCNet-32{half} / ResNet-32{half}",
        RC_FLOOR,
        at_most=1.10,
    ),
    *_in_both(
        "step: ResCNet-50 / ResNet-50, CIFAR",
        "ResCNet-50, CIFAR{half} / ResNet-50, CIFAR{half}",
        BOTTLENECK_FLOOR,
        at_most=1.06,
    ),
    *(
        target
        for network, (least, tried) in SPEEDS.items()
        for target in _in_both(
            f"step, PyTorch's best / ours: {network}",
            f"PyTorch's best / {network}{{half}}",
            tried,
            at_least=least,
        )
    ),
    Target(
        "step of ResNet-32: float32 / bfloat16",
        "step",
        f"ResNet-32 / ResNet-32{HALF}",
        at_least=1.4,
        tried="convolutions of 16 to 64 channels are bound by memory and by what TensorFlow "
        "spends per operation, and normalization computes in float32 either way.",
    ),
    *(
        Target(
            f"peak memory: {words} / ResNet-50, ReLU",
            "memory",
            f"{network} / ResNet-50, ReLU",
            at_most=bound,
            tried="what a step keeps per image is 1.0 and 1.05 x ReLU's (below); the graph and the "
            "compiled loops take 140 MiB, whatever the batch, and count here.",
        )
        for words, network, bound in (
            ("ResNet-50 with GCLU", "ResNet-50, GCLU", 1.10),
            ("ResCNet-50", "ResCNet-50, ReLU", 1.15),
        )
    ),
    Target(
        "call of a SavedModel: GCLU / exact GELU",
        "modes",
        "SavedModel, per call: GCLU / GELU",
        at_most=1.0,
        tried="a SavedModel has plain operations, so that it runs where XLA is not linked in. Two "
        "operations less (kept). TensorFlow's `erfc` takes twice the time of `erf`.",
    ),
    *(
        Target(
            f"`{command}`, PyTorch's best / ours: {network}",
            "inference",
            f"{command}, {network}: PyTorch's best / here",
            at_least=1.0,
            tried="normalization in one operation, which TensorFlow makes part of the convolution; "
            "compiled loops for activations in `evaluate`; in `predict` batches of pictures that "
            "one graph prepares (all kept). What is left is convolutions: ten of 16 channels take "
            "39 ms with normalization and ReLU, 38 ms alone. A SavedModel computes GCLU operation "
            "by operation, to run where XLA is not linked in.",
        )
        for command in ("evaluate", "predict")
        for network in ("ResNet-32", "ResNet-8 + GCLU")
    ),
    Target("`train` / bare compiled steps", "trainer", "train / bare", at_most=1.03),
    Target("`SGD` / Keras's, ResNet-50", "optimizers", "SGD by Keras's: ResNet-50", at_most=0.8),
    Target(
        "`AdamW` / Keras's, ResNet-50", "optimizers", "AdamW by Keras's: ResNet-50", at_most=0.6
    ),
    Target(
        "PyTorch's best / `SGD`, ResNet-50",
        "optimizers",
        "PyTorch's best / SGD: ResNet-50",
        at_least=1.0,
        tried=OPTIMIZER_FLOOR,
    ),
    Target(
        "PyTorch's best / `AdamW`, ResNet-50",
        "optimizers",
        "PyTorch's best / AdamW: ResNet-50",
        at_least=1.0,
        tried=OPTIMIZER_FLOOR,
    ),
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
        "... / keras-cv's nearest",
        "pipeline",
        f"{TABLE_3}: ours / keras-cv (RandAugment)",
        at_least=5.0,
        tried="it was 6.9 x on the same machine when memory was faster: the chain passes over it "
        "more often than it computes.",
    ),
    Target(
        "224 px training chain / tf.image without antialiasing",
        "pipeline",
        f"{JPEG}: ours / tf.image, one by one, no antialiasing",
        at_least=1.0,
        tried="ours resizes as Pillow does, every input pixel with its weight; without "
        "antialiasing four pixels are read for one, whatever the size.",
    ),
    Target("`train.py --help`", "start", "train.py --help", at_most=0.3, unit="s"),
    *(
        Target(
            f"first step of `{recipe}`",
            "start",
            f"first step of {recipe}",
            at_most=8.0,
            unit="s",
            tried="loading TensorFlow and Keras takes 2.1 s, decoding CIFAR-10's 60,000 PNG files "
            "2.4 s, the run's folder and recipe about 1 s. Networks differ in the rest: ResCNet-32 "
            "is built in 0.6 s, traced in 1.9 s, compiled in 2.7 s and computes a step in 0.4 s; "
            "VGG-16's first step alone takes 1.7 s, the fast network's, of 2,000 images, 4 s. "
            "Tried: Keras without the packages that it only wraps, imports without a collector of "
            "garbage, data read in batches, tracing without AutoGraph (all kept).",
        )
        for recipe in ("digits_gclu_resnet8", *(f"cifar10_{name}" for name in RECIPES))
    ),
)
