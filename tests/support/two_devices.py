"""`train.py` on a machine whose CPU is split into two devices."""

import sys

import tensorflow as tf

if __name__ == "__main__":
    (cpu,) = tf.config.list_physical_devices("CPU")
    half = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [half, half])
    from keras_rescnet.training.__main__ import main

    main(sys.argv)
