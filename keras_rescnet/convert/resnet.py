"""Names of ResNets: of torchvision, of timm and of the paper's authors."""

from keras_rescnet.convert.naming import naming


def _layer(stage, block):
    return f"layer{stage}.{block}"


def _rc(module):
    names = {"hidden": "fc1", "mean": "fc21", "log_variance": "fc22"}
    return {f"calibration/{ours}": f"{module}.{theirs}" for ours, theirs in names.items()}


def _se(hidden, gate):
    return {"calibration/hidden": hidden, "calibration/gate": gate}


# torchvision, timm, and all of the authors' ResNets but the last two. Only timm has deep stems.
_OUTER = {"stem_conv": "conv1", "stem_bn": "bn1", "logits": "fc"}
_OUTER |= {"stem_1_conv": "conv1.0", "stem_1_bn": "conv1.1"}
_OUTER |= {"stem_2_conv": "conv1.3", "stem_2_bn": "conv1.4"}
_OUTER |= {"stem_3_conv": "conv1.6", "stem_3_bn": "bn1"}
_INNER = {f"{i}_{kind}": f"{kind}{i}" for i in (1, 2, 3) for kind in ("conv", "bn")}
_PLAIN = _INNER | {"shortcut_conv": "downsample.0", "shortcut_bn": "downsample.1"}
_POOLED = _INNER | {"shortcut_conv": "downsample.1", "shortcut_bn": "downsample.2"}

# resnet50_c100, rescnet50_c100, seresnet50_c100.
_SEQUENTIAL = {f"{i}_conv": f"{3 * i - 3}" for i in (1, 2, 3)}
_SEQUENTIAL |= {f"{i}_bn": f"{3 * i - 2}" for i in (1, 2, 3)}
_SEQUENTIAL_SHORTCUT = {"shortcut_conv": "shortcut.0", "shortcut_bn": "shortcut.1"}
_RESIDUAL_FUNCTION = {key: f"residual_function.{i}" for key, i in _SEQUENTIAL.items()}
_RESIDUAL = {key: f"residual.{i}" for key, i in _SEQUENTIAL.items()}

NAMINGS = (
    naming(_OUTER, _layer, _PLAIN | _rc("se")),
    naming(_OUTER, _layer, _PLAIN | _rc("rc_layer")),
    naming(_OUTER, _layer, _PLAIN | _se("se.fc.0", "se.fc.2")),
    naming(_OUTER, _layer, _PLAIN | _se("se.fc1", "se.fc2")),
    naming(_OUTER, _layer, _POOLED | _rc("rc_layer")),
    naming(_OUTER, _layer, _POOLED | _se("se.fc1", "se.fc2")),
    naming(
        {"stem_conv": "conv1.0", "stem_bn": "conv1.1", "logits": "fc"},
        lambda stage, block: f"conv{stage + 1}_x.{block}",
        _RESIDUAL_FUNCTION | _SEQUENTIAL_SHORTCUT | _rc("aa"),
    ),
    naming(
        {"stem_conv": "pre.0", "stem_bn": "pre.1", "logits": "linear"},
        lambda stage, block: f"stage{stage}.{block}",
        _RESIDUAL | _SEQUENTIAL_SHORTCUT | _se("excitation.0", "excitation.2"),
    ),
)
