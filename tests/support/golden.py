"""Weights of the golden files, made again without PyTorch.

The i-th floating-point array of a state dict, in the order of `sd_names`, is drawn from
`RandomState(1000 * seed + i)`, scaled by its kind (`sd_kinds`) in float64 and stored as float32.
Moving statistics cannot be drawn: they lie in the file as `sd/<name>`. Layouts are PyTorch's.
"""

import numpy as np

import keras_rescnet as kr

ACTIVATIONS = {  # as the golden files name them
    "relu": "relu",
    "gelu": "gelu",
    "gclu": kr.gclu,
    "quick_gclu": kr.gclu_sigmoid,
    "gclu_tanh": kr.gclu_tanh,
}


def load_state(arrays):
    """Returns the state dict of a golden file, whose arrays are given, by name."""
    state = {}
    rows = zip(arrays["sd_names"], arrays["sd_kinds"], arrays["sd_shapes"], strict=True)
    for i, (name, kind, shape) in enumerate(rows):
        if f"sd/{name}" in arrays:
            state[str(name)] = arrays[f"sd/{name}"]
        elif kind not in ("int", "buffer"):
            shape = [int(length) for length in str(shape).split("x") if length]
            state[str(name)] = draw(1000 * int(arrays["seed"]) + i, shape, str(kind))
    return state


def draw(seed, shape, kind):
    """Returns an array of a kind of parameter."""
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    scale, mean = {
        "conv": (np.sqrt(2.0 / fan_in), 0),
        "linear": (np.sqrt(1.0 / fan_in), 0),
        "rc_weight": (np.sqrt(1.0 / fan_in), 0),
        "rc_bias": (0.3, 0),
        "bias": (0.05, 0),
        "norm_weight": (0.1, 1),
        "norm_bias": (0.1, 0),
        "embed": (0.1, 0),
        "relbias": (0.2, 0),
        "layerscale": (0.05, 0.3),
    }[kind]
    z = np.random.RandomState(seed).standard_normal(shape)
    z *= scale  # in place: VGG's largest array has 800 MB in float64
    z += mean
    return z.astype(np.float32)


def state_dict_of(model):
    """Returns a state dict that fits a model: its own weights under the names PyTorch has."""
    paths = [variable.path for variable in model.weights]
    naming = next(naming for naming in kr.convert.NAMINGS if all(map(naming, paths)))
    state = {}
    for variable in model.weights:
        array = np.asarray(variable)
        if variable.path.endswith("/kernel"):
            array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
        state[naming(variable.path)] = array
    return state
