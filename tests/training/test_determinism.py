"""The same bits from a step, whatever runs beside it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config

import keras_rescnet as kr
from keras_rescnet.training import metrics
from keras_rescnet.training.engines.determinism import sums_in_order
from keras_rescnet.training.engines.tensorflow import Engine


@tf.function(autograph=False)
def three_terms(a, b, c):
    """A sum of three, which are free to be overwritten at different times."""
    x, y, z = tf.sin(a), 1e3 * tf.cos(b), 1e-3 * tf.sin(c)
    return tf.add_n([x, y, z]), tf.reduce_sum(tf.matmul(x, x)), tf.reduce_sum(y)


def test_sums_do_not_depend_on_what_runs_beside_them():
    # without `sums_in_order` about one in six is another
    generator = np.random.default_rng(0)
    terms = [tf.constant(generator.normal(size=(400, 400)), "float32") for _ in range(3)]
    three_terms.get_concrete_function(*terms)
    with sums_in_order():
        sums = {three_terms(*terms)[0].numpy().tobytes() for _ in range(300)}
    assert len(sums) == 1
    assert not config.is_op_determinism_enabled()


class Watch(keras.layers.Layer):
    """Notes whether sums are in order when a step is traced and when it runs."""

    def __init__(self):
        super().__init__()
        self.traced, self.ran = [], []

    def call(self, x):
        self.traced.append(config.is_op_determinism_enabled())

        def note(x):
            self.ran.append(config.is_op_determinism_enabled())
            return x

        return tf.ensure_shape(tf.numpy_function(note, [x], x.dtype), x.shape)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX compiles whole steps")
def test_steps_sum_in_order_and_are_traced_as_ever():
    watch = Watch()
    inputs = keras.Input((32, 32, 3))
    logits = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(inputs))
    model = keras.Model(inputs, keras.layers.Add()([logits, keras.layers.Dense(10)(logits)]))
    images = np.zeros((8, 32, 32, 3), "float32")
    labels = np.eye(10, dtype="float32")[:8]
    watched = keras.Sequential([inputs, watch, model])
    optimizer = kr.optimizers.SGD(0.01)
    optimizer.build(watched.trainable_variables)
    engine = Engine()
    sizes = {"batch_size": 8, "accumulation_steps": 1}
    engine.build(watched, optimizer, metrics.statistics, metrics.statistics, **sizes)
    batches = tf.data.Dataset.from_tensors({"images": images, "labels": labels}).repeat()
    engine.feed(lambda num_shards, shard_index: batches)
    watch.traced.clear()
    engine.steps(3)
    engine.steps(2)
    assert watch.ran == [True] * 5
    assert not any(watch.traced) and watch.traced
    assert not config.is_op_determinism_enabled()
