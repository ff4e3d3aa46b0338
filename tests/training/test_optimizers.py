"""Optimizers, engines and schedules against what PyTorch computed (tests/golden)."""

import functools
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_rescnet import gclu
from keras_rescnet.convert import load_torch_weights
from keras_rescnet.losses import categorical_crossentropy
from keras_rescnet.models import CifarResNet8, Swin, ViTTiny
from keras_rescnet.optimizers import SGD, AdamW, Muon
from keras_rescnet.schedules import cosine_decay, learning_rate_at, step_decay
from keras_rescnet.training.engines import Task, make_engine
from keras_rescnet.training.metrics import statistics


def numpy_of(variable):
    return keras.ops.convert_to_numpy(variable)


def reference_batches(arrays, steps):
    images = np.stack([arrays[f"x_{i}"].transpose(0, 2, 3, 1) for i in range(steps)])
    labels = np.stack([np.eye(10)[arrays[f"y_{i}"]] for i in range(steps)])
    return tf.data.Dataset.from_tensor_slices(
        {"images": images.astype("float32"), "labels": labels.astype("float32")}
    )


def run_steps(model, optimizer, batches, learning_rates, batch_size, accumulation_steps=1):
    optimizer.build(model.trainable_variables)
    engine = make_engine()
    engine.build(Task(model, optimizer, statistics, statistics, batch_size, accumulation_steps))
    engine.feed(lambda num_shards, shard_index: batches)
    losses = []
    for rate in learning_rates:
        losses.append(engine.steps([rate])[0, 0] / batch_size)
    return losses


def test_five_steps_of_sgd_follow_pytorch(golden, golden_state):
    arrays = golden("train_sgd_resnet8_gclu")
    model, expected = CifarResNet8(activation=gclu), CifarResNet8(activation=gclu)
    load_torch_weights(model, golden_state("resnet8_mos_nc10"))
    optimizer = SGD(momentum=float(arrays["momentum"]), weight_decay=float(arrays["weight_decay"]))
    losses = run_steps(model, optimizer, reference_batches(arrays, 5), arrays["lr"], 8)
    np.testing.assert_allclose(losses, arrays["loss"], rtol=1e-6)

    final = {k.removeprefix("final/"): v for k, v in arrays.items() if k.startswith("final/")}
    load_torch_weights(expected, final)
    for ours, theirs in zip(model.weights, expected.weights, strict=True):  # float32 to float64
        np.testing.assert_allclose(
            numpy_of(ours), numpy_of(theirs), rtol=2e-5, atol=2e-5, err_msg=ours.path
        )
    logits = model(arrays["eval_x"].transpose(0, 2, 3, 1).astype("float32"), training=False)
    np.testing.assert_allclose(numpy_of(logits), arrays["eval_logits"], rtol=2e-5, atol=5e-5)


@pytest.mark.slow
def test_three_clipped_steps_of_adamw_follow_pytorch(golden, golden_state):
    arrays = golden("train_adamw_vit_gclu")
    model = ViTTiny(activation=gclu)
    load_torch_weights(model, golden_state("vit_tiny_patch4_32_nc10"))
    optimizer = AdamW(weight_decay=float(arrays["weight_decay"]), global_clipnorm=1.0)
    rates = [float(arrays["lr"])] * 3
    losses = run_steps(model, optimizer, reference_batches(arrays, 3), rates, 4)
    np.testing.assert_allclose(losses, arrays["loss"], rtol=2e-5)

    # Adam's steps are as long as the learning rate however small the gradient, so that float32
    # rounding of a tiny one moves a weight by up to 3 steps; nearly all move by far less
    final = {
        "logits/kernel": arrays["final/head.weight"].T,
        "logits/bias": arrays["final/head.bias"],
        "norm/gamma": arrays["final/norm.weight"],
        "patch_embedding/kernel": arrays["final/patch_embed.proj.weight"].transpose(2, 3, 1, 0),
        "position_embedding/embedding": arrays["final/pos_embed"],
    }
    ours = {weight.path: numpy_of(weight) for weight in model.weights}
    for path, theirs in final.items():
        difference = np.abs(ours[path] - theirs.reshape(ours[path].shape))
        assert difference.max() < 3 * rates[0], path
        assert np.median(difference) < 1e-3 * rates[0], path
    logits = model(arrays["eval_x"].transpose(0, 2, 3, 1).astype("float32"), training=False)
    np.testing.assert_allclose(numpy_of(logits), arrays["eval_logits"], rtol=1e-4, atol=1e-4)


def dense_model():
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(10, name="logits")]
    )


def random_batches(steps, rows):
    generator = np.random.default_rng(5)
    images = generator.normal(size=(steps, rows, 4, 4, 3)).astype("float32")
    labels = np.eye(10, dtype="float32")[generator.integers(0, 10, (steps, rows))]
    return tf.data.Dataset.from_tensor_slices({"images": images, "labels": labels})


def dense_gradient(kernel, bias, images, labels):
    """Mean cross-entropy's gradient of a linear classifier, in float64."""
    x = images.reshape(len(images), -1).astype("float64")
    scores = np.exp(x @ kernel + bias)
    error = (scores / scores.sum(1, keepdims=True) - labels) / len(images)
    return x.T @ error, error.sum(0)


def test_three_steps_of_adamw_follow_its_equations():
    model = dense_model()
    weights = [numpy_of(weight).astype("float64") for weight in model.weights]
    moments = [[np.zeros_like(weight), np.zeros_like(weight)] for weight in weights]
    rates = (0.01, 0.02, 0.005)
    for t, (rate, batch) in enumerate(zip(rates, random_batches(3, 6), strict=True), start=1):
        gradients = dense_gradient(*weights, batch["images"].numpy(), batch["labels"].numpy())
        for weight, gradient, moment in zip(weights, gradients, moments, strict=True):
            weight *= 1 - rate * 0.05
            moment[0] = 0.9 * moment[0] + 0.1 * gradient
            moment[1] = 0.999 * moment[1] + 0.001 * gradient**2
            first, second = moment[0] / (1 - 0.9**t), moment[1] / (1 - 0.999**t)
            weight -= rate * first / (np.sqrt(second) + 1e-8)
    run_steps(model, AdamW(weight_decay=0.05), random_batches(3, 6), rates, 6)
    for ours, theirs in zip(model.weights, weights, strict=True):
        np.testing.assert_allclose(numpy_of(ours), theirs, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.999), (0.9, 0.0), (0.9, 1 - 1e-9)])
def test_many_steps_of_adamw_follow_its_equations(betas):
    generator = np.random.default_rng(5)
    gradients = generator.normal(size=(300, 50)) * 10.0 ** generator.integers(-4, 2, (300, 1))
    weight = keras.Variable(np.ones(50, "float32"))
    optimizer = AdamW(1e-3, *betas, weight_decay=0.05)
    expected, first, second = 1.0, 0.0, 0.0
    for t, gradient in enumerate(gradients.astype("float32").astype("float64"), start=1):
        optimizer.apply([keras.ops.cast(gradient, "float32")], [weight])
        first = betas[0] * first + (1 - betas[0]) * gradient
        second = betas[1] * second + (1 - betas[1]) * gradient**2
        moved = first / (1 - betas[0] ** t) / (np.sqrt(second / (1 - betas[1] ** t)) + 1e-8)
        expected = expected * (1 - 1e-3 * 0.05) - 1e-3 * moved
    np.testing.assert_allclose(numpy_of(weight), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_the_first_step_of_adamw_in_other_dtypes_is_as_long_as_the_learning_rate(dtype):
    weight = keras.Variable(np.ones(3), dtype=dtype)
    optimizer = AdamW(0.125, epsilon=1e-7, weight_decay=0.0)  # 1e-8 is 0 in float16, and refused
    optimizer.apply([keras.ops.cast([1.0, -1.0, 4.0], dtype)], [weight])
    moved = numpy_of(keras.ops.cast(weight, "float32"))
    np.testing.assert_allclose(moved, [0.875, 1.125, 0.875], rtol=0.01)


def test_clipping_limits_the_norm_of_all_gradients_together():
    model = dense_model()
    before = [numpy_of(weight).astype("float64") for weight in model.weights]
    batch = next(iter(random_batches(1, 6)))
    gradients = dense_gradient(*before, batch["images"].numpy(), batch["labels"].numpy())
    norm = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients))
    assert norm > 0.1
    run_steps(model, SGD(global_clipnorm=0.1), random_batches(1, 6), [1.0], 6)
    for ours, old, gradient in zip(model.weights, before, gradients, strict=True):
        np.testing.assert_allclose(
            numpy_of(ours), old - 0.1 * gradient / norm, rtol=1e-5, atol=1e-6
        )


def test_a_batch_in_parts_is_the_same_step():
    whole, parts = dense_model(), dense_model()
    for model, accumulation_steps in ((whole, 1), (parts, 3)):
        optimizer = SGD(momentum=0.9, weight_decay=0.1)
        run_steps(model, optimizer, random_batches(3, 6), [0.1] * 3, 6, accumulation_steps)
    for ours, theirs in zip(parts.weights, whole.weights, strict=True):
        np.testing.assert_allclose(numpy_of(ours), numpy_of(theirs), rtol=1e-5, atol=1e-7)


def test_averaged_weights_follow_their_equation():
    model = dense_model()
    optimizer = SGD(use_ema=True, ema_momentum=0.75)
    optimizer.build(model.trainable_variables)
    engine = make_engine()
    engine.build(Task(model, optimizer, statistics, statistics, batch_size=6))
    engine.feed(lambda num_shards, shard_index: random_batches(3, 6))
    averages = None
    for _ in range(3):
        engine.steps([0.5])
        weights = [numpy_of(weight).astype("float64") for weight in model.weights]
        averages = averages or weights  # the first step's weights start the average
        averages = [0.75 * a + 0.25 * w for a, w in zip(averages, weights, strict=True)]
    optimizer.finalize_variable_values(model.trainable_variables)
    for ours, theirs in zip(model.weights, averages, strict=True):
        np.testing.assert_allclose(numpy_of(ours), theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("nesterov, expected", [(False, -0.4375), (True, -1.2578125)])
def test_sgd_moves_bfloat16_without_an_operation_that_gpus_lack(nesterov, expected, monkeypatch):
    def refuse(*_):
        raise AssertionError("ResourceApplyMomentum has no kernel for bfloat16 on GPUs")

    if keras.backend.backend() == "tensorflow":
        from keras_rescnet import tensorflow_ops

        monkeypatch.setattr(tensorflow_ops, "apply_momentum", refuse)
    weight = keras.Variable([1.0], dtype="bfloat16")
    optimizer = SGD(0.5, momentum=0.875, nesterov=nesterov)
    for _ in range(2):  # velocities 1 and 1.875
        optimizer.apply([keras.ops.ones(1, "bfloat16")], [weight])
    assert float(weight[0]) == expected


def test_statistics():
    logits = np.array([[3.0, 1.0, 0.5, 0.2, 0.1, -1.0, 2.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    labels = np.eye(7)[[6, 1]]
    log = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    soft = 0.9 * labels + 0.1 / 7
    smoothed = functools.partial(categorical_crossentropy, label_smoothing=0.1)
    rows = numpy_of(statistics(labels.astype("float32"), logits.astype("float32"), loss=smoothed))
    np.testing.assert_allclose(rows[:, 0], -(soft * log).sum(1), rtol=1e-6)
    np.testing.assert_array_equal(rows[:, 1:], [[0, 1], [0, 0]])
    rows = numpy_of(statistics(np.eye(3, dtype="float32"), np.eye(3, dtype="float32")[[0, 2, 2]]))
    np.testing.assert_array_equal(rows[:, 1:], [[1, 1], [0, 1], [1, 1]])  # 3 classes: all in 5


def test_excluded_variables_do_not_decay():
    optimizer = SGD(learning_rate=1.0, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    kernel = keras.Variable(np.ones(2, "float32"), name="kernel")
    bias = keras.Variable(np.ones(2, "float32"), name="bias")
    optimizer.apply([np.zeros(2, "float32")] * 2, [kernel, bias])
    np.testing.assert_array_equal(numpy_of(kernel), [0.5, 0.5])
    np.testing.assert_array_equal(numpy_of(bias), [1.0, 1.0])


@pytest.mark.parametrize(
    "make",
    [
        lambda v: SGD(momentum=v),
        lambda v: AdamW(beta_2=v),
        lambda v: Muon(momentum=v),
        lambda v: Muon(kernel_momentum=v),
    ],
)
def test_optimizers_reject_factors_out_of_range(make):
    with pytest.raises(ValueError, match=r"at least 0 and below 1.*Received: \w+=1.5"):
        make(1.5)


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(0.2, 0.9, 5e-4, nesterov=True),
        AdamW(0.2, 0.8, 0.99, 1e-6, 0.1),
        Muon(0.2, 0.9, 5e-4, 0.5, 2),
    ],
)
def test_optimizers_survive_their_config(optimizer):
    again = type(optimizer).from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()


# Sparse gradients: TensorFlow's of an embedding, and of the biases of window attention.


def embedding_model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((3,), dtype="int32"), keras.layers.Embedding(6, 4), keras.layers.Flatten()]
    )


OPTIMIZERS = {
    "sgd": functools.partial(SGD, 0.1),
    "sgd-momentum-decay": functools.partial(SGD, 0.1, momentum=0.9, weight_decay=0.1),
    "muon": functools.partial(Muon, 0.1),
    "adamw": functools.partial(AdamW, 0.1),
}


@pytest.mark.parametrize("clipping", [{}, {"global_clipnorm": 0.1}])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_embeddings_train_as_dense_weights_do(name, clipping):
    rows = np.array([[0, 2, 2], [2, 4, 0]])
    target = np.ones((2, 12), "float32")
    model = embedding_model()
    table = numpy_of(model.weights[0])
    model.compile(OPTIMIZERS[name](**clipping), "mse", jit_compile=False)
    # The same model with one-hot rows and a dense kernel
    kernel = keras.Variable(table)
    optimizer = OPTIMIZERS[name](**clipping)
    for _ in range(3):
        model.fit(rows, target, verbose=0)
        error = numpy_of(kernel)[rows] - target.reshape(2, 3, 4)
        gradient = np.zeros_like(table)
        np.add.at(gradient, rows, 2.0 * error / target.size)
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [kernel])
    np.testing.assert_allclose(numpy_of(model.weights[0]), numpy_of(kernel), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name, policy",
    [
        ("sgd", "float32"),
        pytest.param("adamw", "float32", marks=pytest.mark.slow),
        pytest.param("adamw", "mixed_float16", marks=pytest.mark.slow),
    ],
)
def test_swin_fits(name, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = Swin(
            2, width=4, depths=(1,), heads=(1,), window_size=2, input_shape=(4, 4, 3), classes=3
        )
    finally:
        keras.config.set_dtype_policy("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(OPTIMIZERS[name](), loss, jit_compile=False)
    before = model.get_weights()
    images = np.random.default_rng(0).normal(size=(4, 4, 4, 3)).astype("float32")
    model.fit(images, np.arange(4) % 3, verbose=0)
    for weight, old in zip(model.weights, before, strict=True):
        assert np.all(np.isfinite(numpy_of(weight))) and np.any(numpy_of(weight) != old)


SCHEDULES = {
    "cifar_200e_lr0.1_w5": (0.1, 5, 0.0, cosine_decay),
    "svhn_200e_lr0.01_w5": (0.01, 5, 0.0, cosine_decay),
    "cifar_300e_lr0.1_w20_min1e-6": (0.1, 20, 1e-6, cosine_decay),
    "vit_300e_lr1.25e-4_w20_min1e-6": (1.25e-4, 20, 1e-6, cosine_decay),
    "imagenet_90e_step30_w5": (0.1, 5, 0.0, functools.partial(step_decay, every=30)),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_learning_rates_follow_pytorch(name, golden):
    expected = golden("lr_schedules")[name]
    rate, warmup, minimum, decay = SCHEDULES[name]
    recipe = types.SimpleNamespace(
        learning_rate=rate,
        warmup_epochs=warmup,
        minimum_learning_rate=minimum,
        decay=decay,
        epochs=len(expected),
    )
    ours = [learning_rate_at(epoch, recipe) for epoch in range(len(expected))]
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-15)


def test_three_steps_of_muon_follow_the_original(golden):
    """`Muon` of airbench94_muon.py, in float64, and PyTorch's SGD for what is no convolution."""
    arrays = golden("muon")
    turned = {"tall": (2, 3, 1, 0), "wide": (2, 3, 1, 0), "dense": (0, 1)}
    names = list(turned)
    variables = [keras.Variable(arrays[f"{n}/start"].transpose(turned[n])) for n in names]
    optimizer = Muon(weight_decay=float(arrays["weight_decay"]))
    optimizer.build(variables)
    for step, rate in enumerate(arrays["rates"]):
        optimizer.learning_rate = rate
        gradients = [arrays[f"{n}/gradient_{step}"].transpose(turned[n]) for n in names]
        optimizer.apply([keras.ops.cast(g, "float32") for g in gradients], variables)
        for name, variable in zip(names, variables, strict=True):
            expected = arrays[f"{name}/step_{step}"].transpose(turned[name])
            np.testing.assert_allclose(
                numpy_of(variable), expected, rtol=2e-5, atol=2e-5, err_msg=name
            )


def test_muon_moves_a_kernel_that_is_zero():
    gradient = np.random.default_rng(0).normal(size=(3, 3, 8, 4)).astype("float32")
    kernel = keras.Variable(np.zeros_like(gradient))
    Muon(0.1).apply([gradient], [kernel])
    step = np.linalg.svd(numpy_of(kernel).reshape(-1, 4), compute_uv=False)
    assert np.all((step > 0.05) & (step < 0.15))  # singular values near the learning rate


def test_muon_moves_kernels_of_depthwise_convolutions_as_sgd_does():
    """They are no matrix: a filter per channel, whose norms the next normalization undoes alone."""
    start, gradient = np.random.default_rng(0).normal(size=(2, 3, 3, 8, 1)).astype("float32")
    moved = []
    for optimizer in (Muon(0.1, momentum=0.9), SGD(0.1, momentum=0.9, nesterov=True)):
        kernel = keras.Variable(start)
        for _ in range(2):
            optimizer.apply([keras.ops.convert_to_tensor(gradient)], [kernel])
        moved.append(keras.ops.convert_to_numpy(kernel))
    np.testing.assert_array_equal(*moved)
    assert np.any(moved[0] != start)
