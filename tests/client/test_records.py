"""What clients know of their jobs."""

import pytest

from sleaprtc.client.records.files import find
from sleaprtc.errors import UsageError


def test_an_unset_variable_names_no_job():
    with pytest.raises(UsageError, match="No job is named"):
        find("")
