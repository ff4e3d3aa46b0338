"""What runs the steps of a training, one module for each of Keras's backends."""
