"""What `kr.calibrate` refuses is one line that names the layer."""

from functools import partial

import keras
import pytest
from keras import layers

import keras_rescnet as kr

RC = partial(kr.layers.RCLayer, reduction=4)
conv = partial(layers.Conv2D, kernel_size=3, padding="same")


def network(ends, name="network", channels=8):
    """A functional model of what `ends` makes of maps."""
    maps = keras.Input((8, 8, channels), name="maps")
    return keras.Model(maps, ends(maps), name=name)


def summed(x, name="sum"):
    return layers.Add(name=name)([x, conv(x.shape[-1], name=f"{name}_conv")(x)])


def summed_vectors(x):
    return layers.Add(name="vectors")([x, layers.Dense(8)(x)])


def tie(x):
    return layers.Add(name="tie")([conv(8)(x), conv(8)(x)])


def shared_sum(x):
    add = layers.Add(name="shared_add")
    x = add([x, conv(8)(x)])
    return add([x, conv(8)(x)])


def shared_activation(x):
    relu = layers.ReLU(name="shared_relu")
    return relu(conv(8)(relu(x)))


class Block(layers.Layer):
    """A residual block inside a layer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = conv(8), conv(8)

    def build(self, input_shape):
        self.first.build(input_shape)
        self.second.build(input_shape)

    def call(self, x):
        return x + self.second(self.first(x))


class Odd(layers.Layer):
    """A layer that its config does not make again."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def get_config(self):
        return super().get_config()

    def call(self, x):
        return x * self.units


class Growing(Odd):
    """A layer that is made again with other weights."""

    made = 0

    def __init__(self, units=0, **kwargs):
        super().__init__(units, **kwargs)
        Growing.made += 1
        self.units = Growing.made

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(self.units,), name="scale")


class Tied(layers.Layer):
    """A layer with the kernel of another."""

    def __init__(self, kernel=None, **kwargs):
        super().__init__(**kwargs)
        self.kernel = kernel

    def get_config(self):
        return super().get_config()

    def call(self, x):
        return x


class Subclassed(keras.Model):
    def call(self, x):
        return x


class Louder(keras.Model):
    def call(self, inputs, training=None, mask=None):
        return 2.0 * super().call(inputs, training=training, mask=mask)


def louder():
    maps = keras.Input((8, 8, 8))
    return Louder(maps, summed(maps), name="louder")


def tied(x):
    first = conv(8, name="first")
    x = first(x)
    return layers.ReLU()(Tied(first.kernel, name="second")(x))


def channels_first(x):
    front = partial(conv, data_format="channels_first")
    x = front(8, name="stem")(x)
    return layers.Add(name="front")([x, layers.ReLU()(front(8, name="branch")(x))])


def compiled():
    model = network(summed, "compiled")
    model.compile(loss=lambda y, p: keras.ops.mean(y - p))
    return model


def narrow(name):
    return layers.Dense(4, name=name)


PLAIN = network(lambda x: layers.ReLU(name="relu")(summed(x)), "plain")
VGG = network(lambda x: layers.MaxPooling2D()(conv(8, activation="relu")(x)), "vgg")
calibrate = partial(partial, kr.calibrate)
refused = {
    "a path": (
        calibrate("model.keras", kr.gclu),
        "functional model.*'model.keras', of type str",
    ),
    "a class of models": (calibrate(kr.models.CifarResNet8, kr.gclu), "of type function"),
    "a layer for a model": (calibrate(layers.ReLU(), kr.gclu), "of type ReLU"),
    "a subclassed model": (
        calibrate(Subclassed(name="mine"), kr.gclu),
        "Received: mine, of type Subclassed.",
    ),
    "an unbuilt model": (
        calibrate(keras.Sequential([layers.ReLU()], name="line"), kr.gclu),
        "keras.Input.*Received: line, of type Sequential",
    ),
    "a call of its own": (
        calibrate(louder(), calibration=RC),
        r"Received: louder, of type Louder, which overrides call\(\)",
    ),
    "no residual branch": (
        calibrate(VGG, calibration=RC),
        'vgg has no residual branch.*no other place.*"concat", "activation" and names',
    ),
    "blocks in a layer": (
        calibrate(network(lambda x: Block(name="block")(x), "hidden"), calibration=RC),
        "hidden has no residual branch.*block is left: the layers inside it are out of reach",
    ),
    "two branches": (
        calibrate(
            network(lambda x: layers.Add(name="tie")([conv(8)(x), conv(8)(x)])), calibration=RC
        ),
        "tie is left: its branch cannot be told from its shortcut",
    ),
    "two branches by name": (
        calibrate(network(tie), calibration=RC, where=["tie"]),
        "^tie cannot be calibrated: its branch cannot be told",
    ),
    "a sum of three": (
        calibrate(
            network(lambda x: layers.Add(name="three")([x, x, conv(8)(x)])),
            calibration=RC,
            where=["three"],
        ),
        "^three cannot be calibrated: it adds 3 tensors",
    ),
    "a sum that broadcasts": (
        calibrate(
            network(lambda x: layers.Add(name="wide")([x, conv(1)(x)])),
            calibration=RC,
            where=["wide"],
        ),
        "^wide cannot be calibrated: it adds tensors of different shapes",
    ),
    "a shared sum": (
        calibrate(network(shared_sum), calibration=RC, where=["shared_add"]),
        "^shared_add cannot be calibrated: it is a shared layer, called 2 times",
    ),
    "a shared activation": (
        calibrate(network(shared_activation), calibration=RC, where="activation"),
        "shared_relu is left: it is a shared layer, called 2 times",
    ),
    "too few channels": (
        calibrate(network(summed, channels=3), calibration=RC),
        r"^sum cannot be calibrated: RCLayer expects .* C >= 4. Received: .*8, 8, 3\)",
    ),
    "vectors for images": (
        calibrate(
            network(lambda x: summed_vectors(layers.GlobalAveragePooling2D()(x))), calibration=RC
        ),
        r"^vectors cannot be calibrated: RCLayer expects images .*\(None, 8\)",
    ),
    "a calibration that narrows": (
        calibrate(PLAIN, calibration=narrow),
        r"^sum cannot be calibrated: .* keep shape.*\(None, 8, 8, 4\), float32 in place of",
    ),
    "a calibration of two branches": (
        calibrate(
            VGG, calibration=partial(kr.layers.CompetitiveSqueezeExcite, 4), where="activation"
        ),
        "^conv2d.* cannot be calibrated: .*which reads the identity branch too",
    ),
    "channels in front": (
        calibrate(network(channels_first), calibration=RC, where=["front"]),
        "^front cannot be calibrated: its channels come first",
    ),
    "already calibrated": (
        calibrate(kr.calibrate(PLAIN, calibration=RC), calibration=RC),
        "sum is left: sum_calibration is there already",
    ),
    "calibrated otherwise": (
        calibrate(
            kr.calibrate(PLAIN, calibration=RC),
            calibration=partial(kr.layers.SqueezeExcite, reduction=4),
        ),
        "sum is left: sum_calibration is there already",
    ),
    "no concatenation": (
        calibrate(PLAIN, calibration=RC, where="concat"),
        "plain has no concatenation of new maps",
    ),
    "no activation": (
        calibrate(network(summed), calibration=RC, where="activation"),
        "network has no activation of maps",
    ),
    "no plain ReLU": (
        calibrate(network(lambda x: layers.ReLU(6, name="relu6")(x)), kr.gclu),
        r"no plain ReLU.*relu6 is left: ReLU\(max_value=6\) is not plain ReLU",
    ),
    "a kind of place misspelt": (
        calibrate(PLAIN, calibration=RC, where="concatenate"),
        "Received: where='concatenate'",
    ),
    "a name without a list": (
        calibrate(PLAIN, calibration=RC, where="sum"),
        r"a list of names such as .* Received: where='sum'",
    ),
    "a number for places": (calibrate(PLAIN, calibration=RC, where=3), "Received: where=3"),
    "numbers for names": (calibrate(PLAIN, calibration=RC, where=[3]), r"where=\[3\]"),
    "no names": (calibrate(PLAIN, calibration=RC, where=[]), r"where=\[\]"),
    "an unknown name": (
        calibrate(PLAIN, calibration=RC, where=["sums"]),
        "must name .* Received: sums. Did you mean sum",
    ),
    "a name of something else": (
        calibrate(PLAIN, calibration=RC, where=["sum_conv"]),
        "must name .* Received: sum_conv. Did you mean",
    ),
    "a predicate that chooses a tie": (
        calibrate(network(tie), calibration=RC, where=lambda layer: layer.name == "tie"),
        "tie is left: its branch cannot be told",
    ),
    "names where there is no place": (
        calibrate(network(lambda x: conv(8)(x)), calibration=RC, where=["conv"]),
        "network has no residual branch.*where=.'conv'., and no other place",
    ),
    "a predicate that chooses nothing": (
        calibrate(PLAIN, kr.gclu, where=lambda layer: False),
        "plain has no activation that `where` chooses.*relu is left: not chosen",
    ),
    "a place for nothing": (calibrate(PLAIN, where=["sum"]), "`where` needs an .*where="),
    "gclu by name": (calibrate(PLAIN, "gclu"), "such as kr.gclu.*activation='gclu'"),
    "GCLU's class": (calibrate(PLAIN, kr.layers.GCLU), "not its class"),
    "an activation without a config": (
        calibrate(PLAIN, Odd(2, name="odd")),
        "`activation` .* get_config.*Received: activation=<Odd name=odd",
    ),
    "a calibration by name": (calibrate(PLAIN, calibration="rc"), "makes a layer.*'rc'"),
    "a layer for a calibration": (calibrate(PLAIN, calibration=RC()), "a layer"),
    "a layer that is not made again": (
        calibrate(network(lambda x: layers.ReLU()(Odd(2, name="odd")(x))), kr.gclu),
        "^The layer odd is not made again.*Received: .* Odd",
    ),
    "other weights": (
        calibrate(network(lambda x: layers.ReLU()(Growing(name="growing")(x))), kr.gclu),
        "^The layer growing is not made again, with the same weights",
    ),
    "a shared weight": (
        calibrate(network(tied), kr.gclu),
        "must not share a weight.*first/kernel of first and second",
    ),
    "a loss without a name": (calibrate(compiled(), calibration=RC), "^compiled is compiled with"),
}


@pytest.mark.parametrize("name", refused)
def test_the_answer_is_one_line(name, assert_refused):
    assert_refused(*refused[name])


def test_a_report_refuses_what_calibrate_refuses(assert_refused):
    assert_refused(lambda: kr.calibration_report(VGG, calibration=RC), "vgg has no residual branch")
