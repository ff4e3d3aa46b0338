"""Namings: from the path of a Keras variable to the name that PyTorch has for it."""

import re
from collections.abc import Callable, Mapping

PARAMETERS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "relative_position_bias": "relative_position_bias_table",
    # Parameters that PyTorch has under the name of the module itself.
    "token": "",
    "embedding": "",
    "scale": "",
}


def naming(
    outer: Mapping[str, str],
    block: Callable[..., str] | None = None,
    inner: Mapping[str, str] | None = None,
) -> Callable[[str], str | None]:
    """Returns the naming of a network with blocks.

    It maps a path (`stage2_block1_1_conv/kernel`) to PyTorch's name (`layer2.0.conv1.weight`), or
    to `None` if the network has no such layer.

    Args:
        outer: Keras layers outside blocks -> PyTorch modules.
        block: Stage, from 1, `"class"` or `None`, and block, from 0 or `None` -> PyTorch module.
        inner: Keras layers of a block or stage -> PyTorch modules within it.
    """

    def name(path):
        layer, _, parameter = path.rpartition("/")
        match = re.fullmatch(r"(?:stage(\d+)_|(class)_)?(?:block(\d+)_)?(.*)", layer)
        if match is None:
            return None
        if block and inner and match[4] in inner:
            stage = int(match[1]) if match[1] else match[2]
            module = f"{block(stage, match[3] and int(match[3]) - 1)}.{inner[match[4]]}"
        elif layer in outer:
            module = outer[layer]
        else:
            return None
        if parameter not in PARAMETERS:
            return None
        return f"{module}.{PARAMETERS[parameter]}".rstrip(".")

    return name
