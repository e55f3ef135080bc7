"""An environment variable means the same to the commands and to the Python API."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from sleaprtc.access.environment import connection_options, peer_options
from sleaprtc.client.__main__ import main
from sleaprtc.commandline import options
from sleaprtc.config.origins import resolve
from sleaprtc.config.variables import from_variable
from sleaprtc.errors import EXIT_USAGE, UsageError

COMMANDS_ONLY = {"SLEAP_RTC_LOG_FORMAT", "SLEAP_RTC_LOG_LEVEL", "SLEAP_RTC_CONFIG_FILE"}
"""A call from Python configures no log and reads no settings files."""

ROOM = {"SLEAP_RTC_ROOM_ID": "a-room", "SLEAP_RTC_TOKEN": "a-token"}
INVITE = "sleap-rtc://gpu-box:8080,8001/another#of-another"
SWITCH_TEXTS = [
    spelled
    for word in [*click.BOOL.bool_states, " ", "maybe", "2"]
    for spelled in (word, word.upper(), f" {word} ")
]
TEXTS = {
    "SLEAP_RTC_INVITE": [INVITE, "no invite"],
    "SLEAP_RTC_ROOM_ID": ["b-room", " ", "no room!"],
    "SLEAP_RTC_TOKEN": ["b-token", " ", "no\ntoken"],
    "SLEAP_RTC_SECRET": ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "short"],
    "SLEAP_RTC_SIGNALING_WS": ["wss://a.example/", "nothing"],
    "SLEAP_RTC_SIGNALING_HTTP": ["https://a.example", "nothing"],
    "SLEAP_RTC_TLS_CA": ["ca.pem", "no/such.pem"],
    "SLEAP_RTC_ICE_LOOPBACK": SWITCH_TEXTS,
    "SLEAP_RTC_ICE_SERVER": [
        "stun:a.example:3478",
        " stun:a.example  turn:user:p%40ss@b.example:3478?transport=tcp ",
        "stun:a.example,stun:b.example",
        "nothing",
        " ",
    ],
    "SLEAP_RTC_PRIVATE_ICE_SERVERS": SWITCH_TEXTS,
    "SLEAP_RTC_LIMIT_RATE": [
        "2M",
        "none",
        "NONE",
        " 500 kb/s ",
        "1000",
        "much",
        "1",
        "-1",
        " ",
        "nan",
        "inf",
    ],
    "SLEAP_RTC_ENGINE": ["auto", "aiortc", "libwebrtc", "AIORTC", " auto", "webrtc"],
}


def client_options(command=main):
    """All options of the client's commands."""
    if isinstance(command, click.Group):
        for name in command.list_commands(None):
            yield from client_options(command.get_command(None, name))
    yield from (param for param in command.params if isinstance(param, click.Option))


def as_a_command(environ):
    """What a command's parameter is made of; None if it ends with a usage error."""
    made = []

    @click.command()
    @options.peer_options
    def command(peer):
        made.append(peer)

    result = CliRunner().invoke(command, [], env=environ)
    assert result.exit_code == (0 if made else EXIT_USAGE), result.output
    return made[0] if made else None


def as_a_call(environ):
    """What the API makes of it; None for a usage error."""
    try:
        return peer_options(environ, connection=connection_options(environ))
    except UsageError:
        return None


def test_every_variable_of_an_option_is_compared():
    variables = {option.envvar for option in client_options() if option.envvar is not None}
    assert variables == {*TEXTS, *COMMANDS_ONLY}


@pytest.mark.parametrize(
    ("variable", "text"), [(variable, text) for variable, texts in TEXTS.items() for text in ["", *texts]]
)
@pytest.mark.parametrize("others", [ROOM, {}])
def test_a_variable_means_the_same_to_a_command_and_to_a_call(variable, text, others, monkeypatch):
    for name in TEXTS:
        monkeypatch.delenv(name, raising=False)
    environ = {**others, variable: text}
    assert as_a_call(environ) == as_a_command(environ)


def test_what_is_given_in_a_call_comes_before_variables():
    environ = {**ROOM, "SLEAP_RTC_ICE_LOOPBACK": "t", "SLEAP_RTC_SIGNALING_WS": "wss://a.example/"}
    found = peer_options(
        environ,
        signaling_ws="wss://b.example/",
        connection=connection_options(environ, ice_loopback=False),
    )
    assert found.endpoints.ws_url == "wss://b.example/"
    assert not found.connection.ice_loopback


def test_a_wrong_variable_is_named():
    with pytest.raises(UsageError, match=r'^SLEAP_RTC_ICE_LOOPBACK must be true or false, not "maybe"'):
        connection_options({"SLEAP_RTC_ICE_LOOPBACK": "maybe"})


def test_config_show_has_the_value_that_a_command_has():
    for text in SWITCH_TEXTS:
        setting = resolve("client", {}, [])["ice_loopback"].setting
        state = click.BOOL.bool_states.get(text.strip().lower(), text)
        assert from_variable(setting, text) == state
