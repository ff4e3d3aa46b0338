"""`kr.calibrate` on small models, one for each mechanism; test_surgery_models.py has large ones."""

import re
from functools import partial

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_rescnet as kr

GATED = partial(kr.layers.RCLayer, reduction=4, gated=True)
CALIBRATED = partial(kr.layers.RCLayer, reduction=4)
IMAGES = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
conv = partial(layers.Conv2D, kernel_size=3, padding="same")


def block(x, filters, name, add=None):
    """A bottleneck with a projection shortcut, whose branch ends in a dropout."""
    y = layers.Conv2D(4, 1, name=f"{name}_1")(x)
    y = layers.BatchNormalization(name=f"{name}_bn1")(y)
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = conv(4, name=f"{name}_2")(y)
    y = layers.Activation("relu", name=f"{name}_relu2")(y)
    y = layers.Conv2D(filters, 1, name=f"{name}_3")(y)
    y = layers.BatchNormalization(name=f"{name}_bn3")(y)
    y = layers.Dropout(0.5, (None, 1, 1, 1), name=f"{name}_drop")(y)
    if x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, name=f"{name}_shortcut")(x)
        x = layers.BatchNormalization(name=f"{name}_shortcut_bn")(x)
    y = layers.Add(name=f"{name}_add")([x, y]) if add is None else add(x, y)
    return layers.Activation("relu", name=f"{name}_out")(y)


def redrawn(model):
    """Returns a model whose weights all differ from one another, statistics too."""
    generator = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(weight + 0.1 * generator.uniform(size=weight.shape))
    return model


def small():
    images = keras.Input((8, 8, 3), name="images")
    x = conv(8, activation="relu", name="stem")(images)
    x = block(x, 12, "a")
    x = block(x, 12, "b", add=lambda x, y: y + x)  # as ConvNeXt adds
    x = layers.ReLU(6.0, name="relu6")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(ops.relu(x))
    return redrawn(keras.Model(images, layers.Dense(3, name="logits")(x), name="small"))


keras.utils.set_random_seed(0)
SMALL = small()


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def assert_same(one, two, x=IMAGES):
    for a, b in zip(keras.tree.flatten(one(x)), keras.tree.flatten(two(x)), strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))


def kinds(model):
    return {layer.name: type(layer).__name__ for layer in model.layers}


def test_without_arguments_it_is_the_identity():
    model = kr.calibrate(SMALL)
    assert_same(model, SMALL)
    assert kinds(model) == kinds(SMALL) and model.name == "small"
    model.get_layer("stem").kernel.assign(model.get_layer("stem").kernel * 2.0)  # its own
    assert np.any(numpy(model(IMAGES)) != numpy(SMALL(IMAGES)))


def test_a_calibration_ends_every_branch():
    model = kr.calibrate(SMALL, calibration=GATED)
    added = [name for name, kind in kinds(model).items() if kind == "RCLayer"]
    assert len(added) == 2
    for name, end in zip(added, ("a", "b"), strict=True):
        layer = model.get_layer(name)
        assert layer.input._keras_history.operation.name == f"{end}_bn3"
        drop = model.get_layer(f"{end}_drop")
        assert drop.input._keras_history.operation is layer
    assert_same(model, SMALL)  # gates are 0


def test_a_calibration_may_read_the_shortcut():
    """Which is made later than the branch where the branch ends in a dropout."""
    double = partial(kr.layers.CompetitiveSqueezeExcite, reduction=4)
    model = kr.calibrate(SMALL, calibration=double)
    read = [
        [tensor._keras_history.operation.name for tensor in layer.input]
        for layer in model.layers
        if isinstance(layer, kr.layers.CompetitiveSqueezeExcite)
    ]
    assert read == [["a_bn3", "a_shortcut_bn"], ["b_bn3", "a_out"]]
    assert np.any(numpy(model(IMAGES)) != numpy(SMALL(IMAGES)))


def test_weights_go_from_layer_to_layer_where_their_order_changes():
    model = kr.calibrate(SMALL, calibration=GATED)
    old, new = (
        [layer.name for layer in m.layers if layer.name in kinds(SMALL)] for m in (SMALL, model)
    )
    assert old != new and sorted(old) == sorted(new)  # or this would show nothing
    for layer in SMALL.layers:
        for a, b in zip(
            layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_every_form_of_plain_relu_is_replaced_and_no_other():
    model = kr.calibrate(SMALL, activation=kr.gclu)
    replaced = {
        name: layer.activation
        for name, layer in ((layer.name, layer) for layer in model.layers)
        if getattr(layer, "activation", keras.activations.linear) is not keras.activations.linear
    }
    raw = [name for name in replaced if name not in kinds(SMALL)]
    blocks = [f"{name}_{part}" for name in "ab" for part in ("relu1", "relu2", "out")]
    assert set(replaced) == {"stem", *blocks, *raw} and len(raw) == 1
    assert set(replaced.values()) == {kr.gclu}
    assert model.get_layer("relu6").max_value == 6.0


def test_every_place_gets_a_copy_of_an_activation_with_weights():
    model = kr.calibrate(SMALL, kr.layers.ACON(beta_initializer="zeros"))
    added = {layer.name: layer for layer in model.layers if isinstance(layer, kr.layers.ACON)}
    assert len(added) == 8 and model.get_layer("stem").activation is keras.activations.linear
    assert {added[name].beta.shape[0] for name in ("stem_activation", "a_relu1")} == {8, 4}
    assert len({id(weight) for layer in added.values() for weight in layer.weights}) == 24


def test_a_calibrated_network_is_the_one_that_the_builder_makes():
    """Placement, order and activations, against models/resnet.py."""
    build = partial(kr.models.ResNet, (1, 1), widths=(4, 8), block=kr.models.bottleneck_block)
    build = partial(build, small_images=True, input_shape=(8, 8, 3), classes=3)
    plain, expected = redrawn(build()), build(activation=kr.gclu, calibration=CALIBRATED)
    model = kr.calibrate(plain, kr.gclu, CALIBRATED)
    for layer in expected.layers:
        new = layer.name.replace("_calibration", "_add_calibration")
        source = plain if new == layer.name else model  # what was drawn, the builder's layers get
        layer.set_weights(source.get_layer(new).get_weights())
    assert_same(model, expected)


def test_a_sequential_becomes_functional():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), conv(4, activation="relu"), layers.Flatten(), layers.Dense(2)],
        name="line",
    )
    new = kr.calibrate(model, activation=kr.gclu_tanh)
    assert not isinstance(new, keras.Sequential) and new.name == "line"
    new.layers[1].activation = keras.activations.relu
    assert_same(new, model)


def nested():
    """A model of a model of a `Sequential`, with a dropout and a sum around the innermost."""
    inner = keras.Sequential(
        [conv(8, activation="relu", name="one"), conv(8, name="two")], name="inner"
    )
    maps = keras.Input((8, 8, 8))
    middle = keras.Model(maps, layers.Add(name="add")([maps, inner(maps)]), name="middle")
    images = keras.Input((8, 8, 3))
    x = middle(middle(conv(8, name="stem")(images)))
    return redrawn(keras.Model(images, layers.Flatten()(x), name="outer"))


def test_nested_models_are_reached():
    model = nested()
    new = kr.calibrate(model, calibration=GATED)
    assert_same(new, model)
    middle = new.get_layer("middle")
    assert middle.get_layer("add_calibration").input._keras_history.operation.name == "inner"
    both = kr.calibrate(model, kr.gclu, GATED)
    assert both.get_layer("middle").get_layer("inner").get_layer("one").activation is kr.gclu
    assert "middle/inner/one  relu is replaced" in kr.calibration_report(model, kr.gclu)
    with pytest.raises(kr.Mistake, match="Did you mean middle/inner/one"):
        kr.calibrate(model, kr.gclu, where=["one"])
    named = kr.calibrate(model, kr.gclu, where=["middle/inner/one"])
    assert_same(named, kr.calibrate(model, kr.gclu))


def test_several_inputs_and_outputs_keep_their_structure():
    left, right = keras.Input((4, 4, 8), name="left"), keras.Input((4, 4, 8), name="right")
    shared = conv(8, activation="relu", name="shared")
    y = layers.Add(name="sum")([left, conv(8, name="own")(shared(left))])
    outputs = {"near": y, "far": layers.Flatten(name="flat")(shared(right))}
    model = redrawn(keras.Model({"left": left, "right": right}, outputs))
    x = {name: np.random.default_rng(2).normal(size=(2, 4, 4, 8)) for name in ("left", "right")}
    new = kr.calibrate(model, kr.gclu, GATED)
    assert new.get_layer("shared").activation is kr.gclu
    assert set(new(x)) == {"near", "far"}
    assert_same(kr.calibrate(model, calibration=GATED), model, x)
    assert len(new.get_layer("shared")._inbound_nodes) == 2


def test_what_a_call_was_given_and_what_is_frozen_stay():
    images = keras.Input((8, 8, 3))
    x = conv(8, name="stem", trainable=False)(images)
    x = layers.BatchNormalization(name="bn")(x, training=False)
    x = layers.Add(name="add")([x, conv(8, name="branch")(x)])
    model = redrawn(keras.Model(images, x))
    new = kr.calibrate(model, calibration=GATED)
    assert new.get_layer("bn")._inbound_nodes[0].arguments.kwargs == {"training": False}
    assert not new.get_layer("stem").trainable_weights
    assert "gate" in [weight.name for weight in new.trainable_weights]
    model.trainable = False
    assert {
        weight.path.split("/")[0]
        for weight in kr.calibrate(model, calibration=GATED).trainable_weights
    } == {"add_calibration"}


@keras.saving.register_keras_serializable()
class Pair(layers.Layer):
    """Layers that a user's layer hides."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = layers.Conv2D(8, 1, activation="relu"), layers.Conv2D(8, 1)

    def build(self, shape):
        self.first.build(shape)
        self.second.build((*shape[:-1], 8))

    def call(self, x):
        return self.second(self.first(x))


def test_parts_of_layers_stay_frozen_and_are_said_to_be_out_of_reach():
    images = keras.Input((8, 8, 3))
    x = Pair(name="pair")(conv(8, name="stem", activation="relu")(images))
    x = layers.TimeDistributed(layers.Dense(4, activation="relu"), name="wrapper")(x)
    model = keras.Model(images, x)
    model.get_layer("pair").first.trainable = False
    new = kr.calibrate(model, activation=kr.gclu)
    assert not new.get_layer("pair").first.trainable
    assert new.get_layer("pair").second.trainable
    assert len(new.trainable_weights) == len(model.trainable_weights) == 6
    report = kr.calibration_report(model, activation=kr.gclu)
    for name in ("pair", "wrapper"):
        assert re.search(f"{name} +left: the layers inside it are out of reach", report)


def test_adapted_statistics_of_a_normalization_are_carried():
    """They lie in weights and, once adapted, in tensors made from these."""
    normalization = layers.Normalization(name="normalization")
    normalization.adapt(3.0 * IMAGES + 5.0)
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, layers.ReLU()(conv(4)(normalization(images))))
    assert_same(kr.calibrate(model), model)


def test_a_compiled_model_is_compiled_again():
    model = nested()
    assert not kr.calibrate(model).compiled
    line = keras.Sequential([keras.Input((8, 8, 8)), conv(8, activation="relu")])
    for network in (line, model):
        optimizer = kr.optimizers.SGD(0.25, momentum=0.5)
        network.compile(optimizer, "mse", metrics=["mae"], run_eagerly=True)
        new = kr.calibrate(network, **({"calibration": GATED} if network is model else {}))
        assert isinstance(new.optimizer, kr.optimizers.SGD) and new.optimizer is not optimizer
        assert float(new.optimizer.learning_rate) == 0.25
        assert new.loss == "mse" and new.run_eagerly
    new.fit(IMAGES, np.ones((2, 512)), verbose=0)
    gates = [weight for weight in new.trainable_weights if weight.name == "gate"]
    assert gates and all(np.all(numpy(gate) != 0.0) for gate in gates)


def test_new_layers_have_the_dtype_policy_of_their_branch():
    images = keras.Input((8, 8, 3))
    policy = "mixed_bfloat16"
    x = conv(8, dtype=policy)(images)
    y = conv(8, dtype=policy, name="branch")(layers.ReLU(dtype=policy)(x))
    model = keras.Model(images, x + y)
    new = kr.calibrate(model, kr.gclu, GATED)
    added = [layer for layer in new.layers if isinstance(layer, kr.layers.RCLayer)]
    assert [layer.compute_dtype for layer in added] == ["bfloat16"]
    assert new.output.dtype == model.output.dtype
    assert keras.config.dtype_policy().name == "float32"


def dense_net():
    images = keras.Input((8, 8, 3))
    x = conv(8, name="stem")(images)
    for i in (1, 2):
        y = conv(4, name=f"new{i}")(layers.ReLU(name=f"relu{i}")(x))
        x = layers.Concatenate(name=f"concat{i}")([x, y])
    return redrawn(keras.Model(images, layers.Flatten()(x), name="dense_net"))


def test_new_maps_are_calibrated_before_concatenations():
    model = dense_net()
    new = kr.calibrate(model, calibration=GATED, where="concat")
    for i in (1, 2):
        layer = new.get_layer(f"concat{i}_calibration")
        assert layer.input._keras_history.operation.name == f"new{i}"
    assert_same(new, model)


def test_maps_are_calibrated_before_their_activations():
    images = keras.Input((8, 8, 3))
    x = conv(8, activation="relu", name="inside")(images)
    x = layers.ReLU(6.0, name="alone")(conv(8, name="conv")(x))
    x = layers.Dense(4, activation="relu", name="vectors")(layers.GlobalAveragePooling2D()(x))
    model = redrawn(keras.Model(images, x))
    new = kr.calibrate(model, calibration=GATED, where="activation")
    assert_same(new, model)
    order = [layer.name for layer in new.layers][1:7]
    assert order == [
        *("inside", "inside_calibration", "inside_activation"),
        *("conv", "alone_calibration", "alone"),
    ]
    both = kr.calibrate(model, kr.gclu, GATED, where="activation")
    assert both.get_layer("inside_activation").activation is kr.gclu
    assert both.get_layer("vectors").activation is kr.gclu
    assert both.get_layer("alone").max_value == 6.0


def test_an_activation_inside_of_a_layer_is_not_put_behind_it():
    images = keras.Input((4, 4, 8))
    x = layers.ConvLSTM1D(8, 3, padding="same", activation="relu", name="inside")(images)
    x = layers.Conv1D(8, 3, activation="relu", name="end")(x)
    new = kr.calibrate(keras.Model(images, x), kr.layers.GCLU())
    assert isinstance(new.get_layer("inside").activation, kr.layers.GCLU)
    assert [layer.name for layer in new.layers[1:]] == ["inside", "end", "end_activation"]


@keras.saving.register_keras_serializable(package="test")
class Activated(layers.Layer):
    """A layer of someone's own that activates inside."""

    def __init__(self, units, activation, **kwargs):
        super().__init__(**kwargs)
        self.units, self.dense = units, layers.Dense(units)
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, x):
        return 2.0 * self.activation(self.dense(x))

    def get_config(self):
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "units": self.units, "activation": activation}


def test_layers_that_activate_inside_get_copies_of_an_activation_that_is_a_layer():
    vectors = keras.Input((3,))
    x = Activated(6, "relu", name="wide")(vectors)
    model = redrawn(keras.Model(vectors, Activated(4, "relu", name="narrow")(x)))
    given = kr.layers.ACON()
    for _ in range(2):  # what is given stays as it was
        new = kr.calibrate(model, given)
        assert not given.built
        copies = [layer.activation for layer in new.layers[1:]]
        assert [copy.beta.shape for copy in copies] == [(6,), (4,)]
        for name in ("wide", "narrow"):
            kernels = [network.get_layer(name).dense.kernel for network in (new, model)]
            np.testing.assert_array_equal(*map(numpy, kernels))


def test_a_bounded_relu_that_is_no_layer_is_left():
    """As in a gate that is written out, `relu6(x + 3) / 6`."""
    vectors = keras.Input((4,))
    gate = keras.activations.relu(layers.Dense(4)(vectors) + 3.0, max_value=6.0) / 6.0
    leaky = keras.activations.relu(
        layers.Dense(4, activation="relu", name="dense")(vectors), negative_slope=0.2
    )
    model = redrawn(keras.Model(vectors, [gate, leaky]))
    report = kr.calibration_report(model, kr.gclu).splitlines()
    assert report[0] == "1 activations replaced, 0 calibrations added, 2 left"
    x = 20.0 * np.random.default_rng(4).normal(size=(64, 4)).astype("float32")
    gates = numpy(kr.calibrate(model, kr.gclu)(x)[0])
    np.testing.assert_array_equal(gates, numpy(model(x)[0]))
    assert gates.min() == 0.0 and gates.max() == 1.0


def test_new_layers_have_the_dtype_of_operations_and_models_they_follow(tmp_path):
    """Neither has a dtype policy of its own that says what is computed."""
    maps = keras.Input((8, 8, 8), dtype="float32")
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        own = keras.Input((8, 8, 8))
        branch = keras.Model(own, conv(8)(own), name="branch")
        x = conv(8, name="stem")(maps)
        x = layers.Add(name="model")([x, branch(x)])
        x = layers.Add(name="operation")([x, ops.multiply(conv(8)(ops.relu(x)), 0.5)])
        keras.Model(maps, x).save(tmp_path / "half.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    model = keras.models.load_model(tmp_path / "half.keras")
    new = kr.calibrate(model, "relu", GATED)
    assert_same(new, model, np.ones((1, 8, 8, 8), "float32"))
    for name in ("model", "operation"):
        assert new.get_layer(f"{name}_calibration").dtype_policy.name == "mixed_bfloat16"
    vectors = keras.Input((4,))
    model = keras.Model(vectors, layers.Dense(4)(ops.relu(layers.Dense(4)(vectors))))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        new = kr.calibrate(model, "relu")
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.output.dtype for layer in new.layers} == {"float32"}


def test_raw_operations_are_places_too():
    images = keras.Input((8, 8, 3))
    x = kr.gclu(conv(8, name="one")(images))
    x = kr.gelu(conv(8, name="two")(x))
    x = ops.leaky_relu(conv(8, name="three")(x))
    x = ops.concatenate([x, conv(4, name="four")(x)], axis=-1)
    model = redrawn(keras.Model(images, x))
    named = kr.calibration_report(model, kr.golu, where=lambda operation: True)
    assert [line.split()[1] for line in named.splitlines()[1:4]] == ["gclu", "gelu", "leaky_relu"]
    new = kr.calibrate(model, calibration=GATED, where="activation")
    ends = [layer.input._keras_history.operation.name for layer in calibrations(new)]
    assert ends == ["one", "two", "three"]
    assert_same(new, model)
    new = kr.calibrate(model, calibration=GATED, where="concat")
    (added,) = calibrations(new)
    assert added.input._keras_history.operation.name == "four"
    assert_same(new, model)


def calibrations(model):
    return [layer for layer in model.layers if isinstance(layer, kr.layers.RCLayer)]


def test_what_joins_no_channels_is_left():
    images = keras.Input((8, 8, 3))
    x = layers.Concatenate(name="maps")([images, conv(4, name="conv")(images)])
    rows = layers.Concatenate(1, name="rows")([x, conv(7, name="below")(x)])
    x = layers.Flatten()(x)
    x = layers.Concatenate(name="vectors")([x, layers.Dense(2)(x)])
    model = keras.Model(images, [x, rows])
    report = kr.calibration_report(model, calibration=GATED, where="concat").splitlines()
    assert sorted(line.split() for line in report[1:]) == [
        "maps conv is calibrated".split(),
        "rows left: it joins something else than channels of maps".split(),
        "vectors left: it joins something else than channels of maps".split(),
    ]
    assert len(calibrations(kr.calibrate(model, calibration=GATED, where="concat"))) == 1


def test_names_and_predicates_choose_places():
    chosen = kr.calibrate(SMALL, kr.gclu, CALIBRATED, where=["relu6", "a_add"])
    report = kr.calibration_report(SMALL, kr.gclu, where=["relu6"])
    assert report.startswith("1 activations replaced, 0 calibrations added, 8 left")
    assert re.search(r"relu6 +ReLU\(max_value=6.0\) is replaced", report)
    assert kinds(chosen)["relu6"] == "Activation" and kinds(chosen)["a_relu1"] == "ReLU"
    assert list(kinds(chosen).values()).count("RCLayer") == 1
    first = kr.calibrate(SMALL, kr.gclu, where=lambda layer: layer.name.startswith("a_"))
    assert kinds(first)["a_relu1"] == "Activation" and kinds(first)["b_relu1"] == "ReLU"


def test_the_report_says_what_changes_and_what_is_left_and_why():
    images = keras.Input((8, 8, 8), name="images")
    x = layers.Add(name="tie")([conv(8)(images), conv(8)(images)])
    x = layers.Activation("swish", name="swish")(x)
    x = layers.Add(name="sum")([layers.Dropout(0.1, name="drop")(conv(8, name="conv")(x)), x])
    x = layers.Add(name="three")([x, layers.ReLU(name="relu")(x), images])
    report = kr.calibration_report(keras.Model(images, x), kr.gclu, CALIBRATED)
    assert report.splitlines() == [
        "1 activations replaced, 1 calibrations added, 3 left",
        "  tie    left: its branch cannot be told from its shortcut: its inputs have 1 and 1 "
        "layers with weights of their own",
        "  swish  left: silu is not plain ReLU",
        "  sum    conv is calibrated, before drop; the shortcut is swish",
        "  relu   relu is replaced",
        "  three  left: it adds 3 tensors",
    ]


def test_an_operation_that_someone_else_reads_is_not_passed():
    """A dropout whose output is an output too stays before the calibration."""
    images = keras.Input((8, 8, 8))
    y = layers.Dropout(0.5, name="drop")(conv(8, name="conv")(images))
    model = redrawn(keras.Model(images, [layers.Add(name="add")([images, y]), y]))
    new = kr.calibrate(model, calibration=CALIBRATED)
    assert new.get_layer("add_calibration").input._keras_history.operation.name == "drop"
    x = np.random.default_rng(3).normal(size=(2, 8, 8, 8)).astype("float32")
    np.testing.assert_array_equal(numpy(new(x)[1]), numpy(model(x)[1]))
    assert np.any(numpy(new(x)[0]) != numpy(model(x)[0]))


def test_a_calibrated_model_is_saved_and_loaded(tmp_path):
    model = kr.calibrate(nested(), kr.gclu, CALIBRATED)
    model.save(tmp_path / "model.keras")
    assert_same(keras.models.load_model(tmp_path / "model.keras"), model)
