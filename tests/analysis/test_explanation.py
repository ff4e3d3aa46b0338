"""Grad-CAM against closed forms and a reference, the RC map against numpy, in nested models too."""

import math

import keras
import numpy as np
import pytest
from keras import layers

import keras_rescnet as kr
from keras_rescnet.analysis.explanation import explain
from support.gradients import pull_back

IMAGES = np.random.default_rng(0).normal(size=(3, 12, 12, 3)).astype("float32")
CLASSES = [2, 0, 3]


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_of_a_linear_model_the_map_is_the_weighted_sum_of_its_maps():
    """y_c = sum_k W_kc mean A_k, so that alpha_k = W_kc / (H W)."""
    inputs = keras.Input((12, 12, 3))
    maps = layers.Conv2D(5, 3, name="maps")(inputs)
    head = layers.Dense(4)
    model = keras.Model(inputs, head(layers.GlobalAveragePooling2D()(maps)))
    values = numpy(keras.Model(inputs, maps)(IMAGES))
    kernel = head.get_weights()[0][:, CLASSES]
    expected = np.maximum(np.einsum("nhwk,kn->nhw", values, kernel), 0) / 100
    np.testing.assert_allclose(kr.grad_cam(model, IMAGES, CLASSES), expected, atol=1e-7)
    assert (expected == 0).any() and (expected > 0.01).any()
    likeliest = numpy(model(IMAGES)).argmax(1)
    np.testing.assert_array_equal(kr.grad_cam(model, IMAGES), kr.grad_cam(model, IMAGES, likeliest))


def reference(model, layer, images, classes):
    """Grad-CAM of a flat model that is cut in two at a layer."""
    cut = model.get_layer(layer).output
    values = numpy(keras.Model(model.input, cut)(images))
    rest = keras.Model(cut, model.output)
    chosen = np.eye(model.output_shape[-1], dtype="float32")[classes]
    _, slopes = pull_back(lambda maps: rest(maps, training=False), values, chosen)
    alpha = slopes.mean((1, 2), keepdims=True)
    return np.maximum((alpha * values).sum(-1), 0)


@pytest.fixture(scope="module")
def resnet():
    return kr.models.CifarResNet8(
        activation=kr.gclu, calibration=kr.layers.RCLayer, input_shape=(12, 12, 3)
    )


@pytest.mark.parametrize("layer", ["stage3_block1_out", "stage2_block1_add"])
def test_grad_cam_is_that_of_the_reference(resnet, layer):
    expected = reference(resnet, layer, IMAGES, CLASSES)
    found = kr.grad_cam(resnet, IMAGES, CLASSES, layer)
    np.testing.assert_allclose(found / expected.max(), expected / expected.max(), atol=1e-6)
    if layer == "stage3_block1_out":
        np.testing.assert_array_equal(found, kr.grad_cam(resnet, IMAGES, CLASSES))


def backbone():
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(6, 3, activation=kr.gclu, name="first")(inputs)
    x = kr.layers.RCLayer(reduction=2, name="rc")(x)
    x = layers.Conv2D(5, 3, activation=kr.gclu, name="last")(x)
    return keras.Model(inputs, layers.MaxPooling2D(2)(x), name="backbone")


def flat(inner, head):
    x = layers.GlobalAveragePooling2D()(inner.output)
    return keras.Model(inner.input, head(x))


def nested(inner, head):
    inputs = keras.Input((12, 12, 3))
    middle = keras.Sequential([keras.Input((12, 12, 3)), inner], name="middle")
    return keras.Model(inputs, head(layers.GlobalAveragePooling2D()(middle(inputs))))


def nested_sequential(inner, head):
    return keras.Sequential([inner, layers.GlobalAveragePooling2D(), head])


def subclassed(inner, head):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner, self.pool, self.head = inner, layers.GlobalAveragePooling2D(), head

        def call(self, images):
            return self.head(self.pool(self.inner(images)))

    return Own()


def with_softmax(inner, head):
    softmax = layers.Dense(4, activation="softmax")
    model = nested(inner, softmax)
    softmax.set_weights(head.get_weights())
    return model


def with_softmax_layer(inner, head):
    return keras.Sequential([flat(inner, head), layers.Softmax()])


def with_softmax_operation(inner, head):
    model = flat(inner, head)
    return keras.Model(model.input, keras.ops.softmax(model.output))


def with_softmax_before_a_linear_activation(inner, head):
    return keras.Sequential([with_softmax_layer(inner, head), layers.Activation("linear")])


def with_log_softmax(inner, head):
    return keras.Sequential([flat(inner, head), layers.Activation("log_softmax")])


def with_log_softmax_operation(inner, head):
    model = flat(inner, head)
    return keras.Model(model.input, keras.ops.log_softmax(model.output))


@pytest.mark.parametrize(
    "build",
    [
        nested,
        nested_sequential,
        subclassed,
        with_softmax,
        with_softmax_layer,
        with_softmax_operation,
        with_softmax_before_a_linear_activation,
        with_log_softmax,
        with_log_softmax_operation,
    ],
)
def test_maps_of_nested_models_are_those_of_flat_ones(build):
    inner, head = backbone(), layers.Dense(4)
    model = flat(inner, head)
    expected = kr.grad_cam(model, IMAGES, CLASSES)
    np.testing.assert_allclose(
        expected, reference(model, "last", IMAGES, CLASSES), atol=1e-6 * expected.max()
    )
    other = build(inner, head)
    outputs = numpy(other(IMAGES))
    np.testing.assert_array_equal(kr.grad_cam(other, IMAGES, CLASSES), expected)
    (gain,) = kr.rc_maps(model, IMAGES).values()
    (address, same), *_ = kr.rc_maps(other, IMAGES).items()
    assert address.endswith("rc")
    np.testing.assert_array_equal(same, gain)
    np.testing.assert_array_equal(numpy(other(IMAGES)), outputs)  # nothing of it is left


def test_the_rc_map_is_the_mean_of_the_tails(resnet):
    maps = kr.rc_maps(resnet, IMAGES)
    assert list(maps) == [f"stage{stage}_block1_calibration" for stage in (1, 2, 3)]
    for name, found in maps.items():
        layer = resnet.get_layer(name)
        x = numpy(keras.Model(resnet.input, layer.input)(IMAGES)).astype("float64")
        w0, b0 = layer.hidden.get_weights()
        w1, b1 = layer.mean.get_weights()
        w2, b2 = layer.log_variance.get_weights()
        hidden = x.mean((1, 2), keepdims=True) @ w0 + b0
        z = (x - hidden @ w1 - b1) / (np.exp((hidden @ w2 + b2) / 2) + layer.epsilon)
        expected = np.vectorize(math.erfc)(np.abs(z) / math.sqrt(2)) / 2
        np.testing.assert_allclose(found, expected.mean(-1), atol=1e-5)
        assert 0 < found.min() < found.max() <= 0.5


def test_of_a_layer_that_is_called_twice_the_last_call_counts():
    inputs = keras.Input((12, 12, 4))
    images = np.random.default_rng(1).normal(size=(2, 12, 12, 4)).astype("float32")
    twice, head = layers.Conv2D(4, 3, activation="tanh", name="conv"), layers.Dense(2)
    ends = [layers.GlobalAveragePooling2D(), head]

    def finished(x):
        return keras.Model(inputs, ends[1](ends[0](x)))

    model = finished(twice(twice(inputs)))
    again = layers.Conv2D(4, 3, activation="tanh", name="again")
    other = finished(again(twice(inputs)))
    again.set_weights(twice.get_weights())
    found = kr.grad_cam(model, images, 1, "conv")
    assert found.shape == (2, 8, 8)
    np.testing.assert_allclose(found, kr.grad_cam(other, images, 1, "again"), atol=1e-7)


def test_of_a_sum_that_is_an_operation_the_map_is_that_of_the_sum():
    def block(add, activate):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((12, 12, 3))
        x = layers.Conv2D(4, 3)(inputs)
        inner = keras.Model(inputs, activate(add([x, layers.Conv2D(4, 1)(x)])), name="inner")
        outer = keras.Input((12, 12, 3))
        return flat(keras.Model(outer, inner(outer)), layers.Dense(4))

    expected = kr.grad_cam(block(layers.Add(), layers.Activation(kr.gclu)), IMAGES, CLASSES)
    model = block(lambda pair: pair[0] + pair[1], kr.gclu)
    np.testing.assert_array_equal(kr.grad_cam(model, IMAGES, CLASSES), expected)
    ((kind, address), _), *_ = explain(model, IMAGES)[0].maps.items()
    assert kind == "Grad-CAM" and address.startswith("inner/gclu_operation")


def test_explanations_are_the_maps_in_batches(resnet):
    found = explain(resnet, IMAGES, label=1, layer="stage2_block1_out", batch_size=2)
    assert [part.label for part in found] == [1, 1, 1]
    logits = numpy(resnet(IMAGES)).astype("float64")
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert [part.probability for part in found] == pytest.approx(shares[:, 1], rel=1e-4)
    maps = kr.grad_cam(resnet, IMAGES, 1, "stage2_block1_out")
    gains = kr.rc_maps(resnet, IMAGES)["stage3_block1_calibration"]
    for number, part in enumerate(found):
        cam, gain = part.maps.values()
        np.testing.assert_allclose(cam, maps[number], atol=1e-5 * maps.max())
        np.testing.assert_allclose(gain, gains[number], atol=1e-5)
    assert list(found[0].maps) == [
        ("Grad-CAM", "stage2_block1_out"),
        ("RC map", "stage3_block1_calibration"),
    ]
    named = explain(resnet, IMAGES[:1], rc_layer="stage1_block1_calibration", multi_label=True)[0]
    assert named.maps["RC map", "stage1_block1_calibration"].shape == (12, 12)
    assert named.probability == pytest.approx(1 / (1 + math.exp(-logits[0].max())), rel=1e-4)


@pytest.mark.parametrize("classes", [1, 3])
def test_the_probability_is_what_a_model_with_a_sigmoid_returns(classes):
    model = flat(backbone(), layers.Dense(classes, activation="sigmoid"))
    expected = numpy(model(IMAGES)).max(1)
    found = [part.probability for part in explain(model, IMAGES)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["subclassed", "function"])
def test_a_softmax_that_cannot_be_left_out_is_refused(kind):
    """As that of a model whose graph is not known, or of a function of a user's own."""
    model = subclassed(backbone(), layers.Dense(4, activation="softmax"))
    if kind == "function":
        model = flat(backbone(), layers.Dense(4, activation=lambda x: keras.ops.softmax(x)))
    with pytest.raises(kr.Mistake, match="take its softmax off. Received: .*returns probabilities"):
        kr.grad_cam(model, IMAGES)
    known = flat(backbone(), layers.Dense(2, kernel_initializer="zeros"))
    known.layers[-1].bias.assign([0.25, 0.75])  # logits that add up to 1 are none of it
    assert kr.grad_cam(known, IMAGES).shape[0] == len(IMAGES)
