"""A short soak; `python -m benchmarks.soak` is the long one."""

import pytest

from .soak.network import missing_for_namespaces
from .soak.run import Soak

MINUTES = 0.5

pytestmark = [pytest.mark.trio, pytest.mark.soak, pytest.mark.timeout(600)]


@pytest.mark.parametrize("use_root", [False, True], ids=["loopback", "namespaces"])
async def test_no_job_is_lost(tmp_path, use_root):
    if use_root and (reason := missing_for_namespaces()) is not None:
        pytest.skip(f"no namespaces: {reason}")
    soak = Soak(tmp_path, seed=20, minutes=MINUTES, use_root=use_root)
    tally = await soak.run()
    assert tally.losses == []
    assert tally.done + tally.failed.total() == tally.jobs
    assert tally.done
    assert tally.faults
    assert bool(tally.left_out) is not use_root
