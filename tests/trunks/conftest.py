"""What the tests of trunks share."""

import pytest


@pytest.fixture
def refused():
    """Check that a call fails with exactly this text."""

    def check(call, text):
        with pytest.raises(ValueError, match="Expected") as error:
            call()
        assert str(error.value) == text

    return check
