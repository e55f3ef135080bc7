"""A short soak; `python -m benchmarks.soak` is the long one."""

import pytest

from .soak import Soak

MINUTES = 0.4


@pytest.mark.trio
@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_no_job_is_lost(tmp_path):
    soak = Soak(tmp_path, seed=20, minutes=MINUTES)
    tally = await soak.run()
    assert tally.losses == []
    assert tally.completed + tally.failed.total() == tally.jobs
    assert tally.completed
    assert tally.faults
