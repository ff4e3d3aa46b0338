"""Recipes: everything that decides a run, as a Python file."""

from keras_rescnet.recipe.calling import calling
from keras_rescnet.recipe.checks import callbacks_of, check_decay
from keras_rescnet.recipe.loading import execute, load_recipe, recipe_name
from keras_rescnet.recipe.recipe import FREE_FIELDS, LATER_FIELDS, Recipe

__all__ = [
    "FREE_FIELDS",
    "LATER_FIELDS",
    "Recipe",
    "calling",
    "callbacks_of",
    "check_decay",
    "execute",
    "load_recipe",
    "recipe_name",
]
