"""The one check of all answers to mistakes."""

import re

import pytest

from keras_rescnet.mistake import Mistake

LONGEST = 500  # characters


@pytest.fixture
def assert_refused():
    """Checks that a call raises a `Mistake` of one line that says what was received."""

    def check(call, pattern):
        with pytest.raises(Mistake) as error:
            call()
        text = str(error.value)
        assert "\n" not in text
        assert len(text) <= LONGEST
        assert "Received: " in text
        assert re.search(pattern, text), text

    return check
