"""A worker's owner changes the limit on its rate while it runs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from ..support import prepared
from ..support.programs import environment, running_worker


def read_until(process: prepared.Process, text: str) -> None:
    said = ""
    while text not in said:
        line = process.stdout.readline()
        assert line, said
        said += line


def test_a_running_worker_takes_a_new_limit(server_process: Any, tmp_path: Path) -> None:
    env = environment(server_process)

    def limit(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return prepared.run("sleaprtc.worker", "limit", *words, env=env)

    folder = ("--work-dir", tmp_path / "w")
    refused = limit("2M", *folder)
    assert refused.returncode == 2
    assert f"No worker of yours runs with the folder {tmp_path / 'w'} here" in refused.stderr

    with running_worker(server_process, tmp_path / "w", "--limit-rate", "1M") as (process, _):
        changed = limit("2M", *folder)
        assert (changed.returncode, changed.stdout) == (0, "The worker is limited to 2 MiB/s.\n")
        read_until(process, "This worker is limited to 2 MiB/s.")
        (tmp_path / "w" / "limit.json").write_text("not JSON")
        read_until(process, "A change of the limit was ignored.")
        assert limit("none", *folder).stdout == "The worker has no limit on its rate any more.\n"
        read_until(process, "This worker has no limit on its rate any more.")

    assert limit("2M", *folder).returncode == 2
    with running_worker(server_process, tmp_path / "w") as (process, _):
        assert not (tmp_path / "w" / "limit.json").exists()
