"""`calibrate` and its report."""

import keras

from keras_rescnet.layers.arguments import activation_of
from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.models.blocks import Activation, Calibration
from keras_rescnet.surgery.graph import is_graph
from keras_rescnet.surgery.plan import Plan, Where, make_plan
from keras_rescnet.surgery.rebuild import Rebuild


def calibrate(
    model: keras.Model,
    activation: Activation | None = None,
    calibration: Calibration | None = None,
    where: Where = None,
) -> keras.Model:
    """Returns a model with the same weights, other activations and calibrated branches.

        relu(x)           becomes  activation(x)
        x + branch(x)     becomes  x + calibration(branch(x))

    Every plain ReLU is replaced: as a layer, as an argument such as `Conv2D(activation="relu")`
    and as `keras.ops.relu(x)`, but not `ReLU(6)`, which may be part of a gate. A calibration ends
    every residual branch, before a dropout, stochastic depth or `LayerScale` at its end. Of a sum's
    two inputs, the branch is the one with more layers with weights that the other does not share.

    The model stays as it is and shares nothing with the new one. What the layers have learned goes
    from layer to layer; layers that are frozen stay so, and calibrations are not. A compiled model
    is compiled again, with a new optimizer of the same settings. Nested models are reached,
    subclassed models and layers that hide layers are not. A `Sequential` becomes functional, as
    does a model of a class that needs other arguments than inputs and outputs.

    Args:
        model: A functional or built sequential model, on any data.
        activation: A name that Keras knows, a function such as `kr.gclu`, or a layer, such as
            `kr.layers.ACON()`, of which every place gets a copy. Defaults to `None`, which leaves
            the activations.
        calibration: What makes the layer, called with a `name`. Defaults to `None`, no
            calibration. `partial(kr.layers.RCLayer, gated=True)` starts as the identity, so that
            the new model gives what the old one gave, to the bit.
        where: What to change. A list of names of layers, or a predicate of a layer, chooses the
            activations to replace, whatever they are, and the sums to calibrate. Names of layers in
            nested models are as in `calibration_report`, `"outer/inner"`. In place of residual
            branches, `"concat"` calibrates the new maps of every concatenation, as for DenseNet,
            and `"activation"` what activations of images read, as for VGG. Defaults to `None`:
            every plain ReLU, and every residual branch.

    Returns:
        A functional `keras.Model`.

    Raises:
        Mistake: If there is no place, a chosen one does not exist, or the model cannot be rebuilt.

    Example:

    >>> from functools import partial
    >>> base = kr.models.CifarResNet8()
    >>> gated = partial(kr.layers.RCLayer, reduction=4, gated=True)
    >>> model = kr.calibrate(base, calibration=gated)
    >>> images = np.random.default_rng(0).normal(size=(2, 32, 32, 3))
    >>> bool(keras.ops.all(model(images) == base(images)))
    True
    >>> model.get_layer("stage3_block1_add_calibration").count_params()
    3280
    """
    plan = _plan(model, activation, calibration, where)
    _check_compiled(model)
    rebuild = Rebuild(plan, activation, calibration)
    calibrated = rebuild.model(model)
    rebuild.carry_weights()
    if model.compiled and not calibrated.compiled:
        calibrated.compile_from_config(model.get_compile_config())
    return calibrated


def calibration_report(
    model: keras.Model,
    activation: Activation | None = None,
    calibration: Calibration | None = None,
    where: Where = None,
) -> str:
    """Returns what `calibrate` changes in a model and what it leaves, and why, as text.

    A line per activation, sum and layer that is out of reach begins with the name that `where`
    takes. Nothing is built.

    Args:
        model: As for `calibrate`.
        activation: As for `calibrate`.
        calibration: As for `calibrate`.
        where: As for `calibrate`.

    Returns:
        Lines of text.

    Raises:
        Mistake: As `calibrate`, but for what is only seen when layers are made.

    Example:

    >>> images = keras.Input((8, 8, 16), name="images")
    >>> x = keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="conv")(images)
    >>> x = keras.layers.Add(name="add")([images, x])
    >>> x = keras.layers.ReLU(6, name="relu6")(x)
    >>> print(kr.calibration_report(keras.Model(images, x), kr.gclu, kr.layers.RCLayer))
    1 activations replaced, 1 calibrations added, 1 left
      conv   relu is replaced
      add    conv is calibrated; the shortcut is images
      relu6  left: ReLU(max_value=6) is not plain ReLU
    """
    return str(_plan(model, activation, calibration, where))


def _plan(model, activation, calibration, where) -> Plan:
    """Checks the arguments and returns the plan."""
    if not (isinstance(model, keras.Model) and is_graph(model)):
        raise Mistake(
            "`model` must be a functional model, or a Sequential with a `keras.Input`. "
            f"Received: {getattr(model, 'name', shorten(model))}, of type {type(model).__name__}."
        )
    for part in model._flatten_layers():
        if is_graph(part) and not type(part).call.__module__.startswith("keras."):
            raise Mistake(
                "A functional model with a `call` of its own does more than its graph has. "
                f"Received: {part.name}, of type {type(part).__name__}, which overrides call()."
            )
    if activation is not None:
        activation_of("activation", activation)
    if activation is None and calibration is None:
        if where is not None:
            raise Mistake(
                "`where` needs an `activation` or a `calibration` to put there. "
                f"Received: where={shorten(where)}, activation=None, calibration=None."
            )
        return Plan()
    return make_plan(model, activation, calibration, where)


def _check_compiled(model: keras.Model) -> None:
    try:
        keras.saving.deserialize_keras_object(model.get_compile_config())
    except (TypeError, ValueError) as error:
        raise Mistake(
            f"{model.name} is compiled with what Keras cannot make again: compile it after "
            f"kr.calibrate. Received: {shorten(error, str)}"
        ) from None
