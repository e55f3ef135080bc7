"""``python -m sleaprtc.server``: the signaling server as a program."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import click
import platformdirs

from ..commandline.log_options import log_options, start_log
from ..commandline.numbers import FiniteRange
from ..commandline.programs import Program
from ..commandline.run import run
from ..commandline.settings_option import config_file_option
from ..protocol.ice import parse_ice_server
from ..protocol.limits import ROOM_TTL_SEC

MAX_ROOM_TTL_SEC: Final = 366 * 24 * 60 * 60.0


@click.command(cls=Program, context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@config_file_option("server")
@click.option("--host", default="127.0.0.1", envvar="SLEAP_RTC_HOST", help="Address to listen on.")
@click.option(
    "--ws-port",
    type=click.IntRange(0, 65535),
    default=8080,
    envvar="SLEAP_RTC_WS_PORT",
    help="WebSocket port; 0 picks a free one.",
)
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    default=8001,
    envvar="SLEAP_RTC_HTTP_PORT",
    help="HTTP port; 0 picks a free one.",
)
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: platformdirs.user_state_path("sleap-rtc") / "server",
    envvar="SLEAP_RTC_STATE_DIR",
    show_default="sleap-rtc/server in the user's state folder",
    help="Folder for the signing key and the rooms.",
)
@click.option(
    "--room-ttl",
    type=FiniteRange(0, MAX_ROOM_TTL_SEC, min_open=True),
    default=float(ROOM_TTL_SEC),
    envvar="SLEAP_RTC_ROOM_TTL",
    metavar="SEC",
    help="Life of a room from its creation or renewal, in seconds.",
)
@click.option(
    "--ice-server",
    "ice_servers",
    multiple=True,
    envvar="SLEAP_RTC_ICE_SERVER",
    metavar="URL",
    help="STUN or TURN server for all peers, as stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT."
    " Can be repeated; several in the environment variable are separated by spaces.",
)
@click.option(
    "--tls-cert",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="SLEAP_RTC_TLS_CERT",
    metavar="FILE",
    help="Certificate and its chain (PEM): both ports speak TLS, wss:// and https://.",
)
@click.option(
    "--tls-key",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="SLEAP_RTC_TLS_KEY",
    metavar="FILE",
    help="The certificate's key (PEM).",
)
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    envvar="SLEAP_RTC_TRUSTED_PROXY",
    metavar="ADDR",
    help="Address or network of a proxy whose X-Forwarded-For is believed. Can be repeated.",
)
@log_options
def main(
    host: str,
    ws_port: int,
    http_port: int,
    state_dir: Path,
    room_ttl: float,
    ice_servers: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    trusted_proxies: tuple[str, ...],
    log_format: str,
    log_level: str | None,
) -> None:
    """Run the signaling server: it lets peers find each other and never sees their data.

    Prints one line, `ready ws=… http=…`, once both ports accept connections. Every option can also be given
    in the section [server] of a settings file, or as an environment variable: SLEAP_RTC_HOST,
    SLEAP_RTC_WS_PORT, SLEAP_RTC_HTTP_PORT, SLEAP_RTC_STATE_DIR, SLEAP_RTC_ROOM_TTL, SLEAP_RTC_ICE_SERVER,
    SLEAP_RTC_TLS_CERT, SLEAP_RTC_TLS_KEY, SLEAP_RTC_TRUSTED_PROXY, SLEAP_RTC_LOG_FORMAT, SLEAP_RTC_LOG_LEVEL.
    """
    start_log(log_format, log_level, logging.INFO)

    async def serve_until_signalled() -> None:
        # Imported late, so that --help is quick.
        from .program import serve_until_signalled
        from .proxies import parse_proxy
        from .settings import ServerSettings

        await serve_until_signalled(
            ServerSettings(
                host=host,
                ws_port=ws_port,
                http_port=http_port,
                state_dir=state_dir,
                room_ttl_sec=room_ttl,
                ice_servers=tuple(map(parse_ice_server, ice_servers)),
                tls_cert=tls_cert,
                tls_key=tls_key,
                trusted_proxies=tuple(map(parse_proxy, trusted_proxies)),
            )
        )

    run(serve_until_signalled)


if __name__ == "__main__":
    main()
