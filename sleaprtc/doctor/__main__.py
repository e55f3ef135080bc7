"""``python -m sleaprtc.doctor``: finds what is wrong, and reports what to do about it."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import click
from click.core import ParameterSource

from ..access.place import PeerOptions
from ..base.logs import HUMAN
from ..commandline.log_options import start_log
from ..commandline.options import measured_peer_options
from ..commandline.programs import Program
from ..commandline.run import run
from ..commandline.settings_option import config_file_option
from .plan import Plan

HELP = {"help_option_names": ["-h", "--help"]}


@click.command(cls=Program, context_settings=HELP)
@config_file_option("worker")
@measured_peer_options
@click.option("--worker", metavar="NAME", help="Also measure the connection to this worker.")
@click.option(
    "--work-dir",
    envvar="SLEAP_RTC_WORK_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where a worker here keeps its jobs.",
)
@click.option(
    "--trainer-python",
    envvar="SLEAP_RTC_TRAINER_PYTHON",
    type=click.Path(path_type=Path),
    help="The Python in which sleap-nn is installed.  [default: this one]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per check, and one for the whole.")
@click.pass_context
def main(
    context: click.Context,
    /,
    peer: PeerOptions,
    worker: str | None,
    work_dir: Path | None,
    trainer_python: Path | None,
    as_json: bool,
) -> None:
    """Check this machine, the server, the room and the connection to a worker.

    Reports for each check that all is well, or what is wrong and how to fix it, within half a minute. The
    exit status is 0 if nothing is broken, 1 if something is.
    """
    named = any(
        context.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)
        for name in ("signaling_ws", "signaling_http", "invite", "room")
        if context.params.get(name)
    )

    def plan() -> Plan:
        from ..base.private_files import state_dir
        from ..worker.journal.recovery import default_work_dir

        return Plan(
            endpoints=peer.endpoints,
            is_configured=named or peer.room is not None,
            room=peer.room,
            connection=peer.connection,
            worker=worker,
            work_dir=work_dir or default_work_dir(socket.gethostname()),
            state_dir=state_dir(),
            trainer_python=trainer_python,
        )

    async def command() -> int:
        from .display import (
            OrderedDisplay,
            show_as_json,
            show_as_text,
            show_summary_as_json,
            show_summary_as_text,
        )
        from .examination import CHECKS, Examination
        from .findings import exit_status

        ordered = OrderedDisplay(CHECKS, show_as_text)
        examination = Examination(plan(), show_as_json if as_json else ordered.take)
        await examination.run()
        ordered.finish()
        (show_summary_as_json if as_json else show_summary_as_text)(examination.findings)
        return exit_status(examination.findings)

    start_log(HUMAN, None, logging.ERROR)  # what libraries say besides is said by the findings
    run(command, as_json=as_json)


if __name__ == "__main__":
    main()
