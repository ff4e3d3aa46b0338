"""The recipe of the trial with Ray: long enough for a worker to be killed on the way."""

import dataclasses

from support import noise

recipe = dataclasses.replace(noise.recipes["same_everywhere"], epochs=60)
