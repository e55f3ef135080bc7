"""Flag over environment over project file over user file over default."""

from __future__ import annotations

import importlib

import pytest

FLAG, ENVIRONMENT, PROJECT, USER = "flag", "environment", "project", "user"
LEVELS = (FLAG, ENVIRONMENT, PROJECT, USER)
CASES = [
    ("worker", [], "--max-hours", "max_hours", "SLEAP_RTC_MAX_HOURS", "[worker]\nmax-hours = {}", 168.0),
    ("worker", [], "--engine", "engine", "SLEAP_RTC_ENGINE", "engine = '{}'", "auto"),
    ("server", [], "--room-ttl", "room_ttl", "SLEAP_RTC_ROOM_TTL", "[server]\nroom_ttl = {}", 7200.0),
    ("client", ["workers"], "--invite", "invite", "SLEAP_RTC_INVITE", "invite = '{}'", None),
    ("client", ["room", "create"], "--tls-ca", "tls_ca", "SLEAP_RTC_TLS_CA", "[client]\ntls-ca = '{}'", None),
]
VALUES = {"engine": ["auto", "aiortc", "libwebrtc", "auto"], "max_hours": [1.0, 2.0, 3.0, 4.0]}
VALUES |= {"room_ttl": [10.0, 20.0, 30.0, 40.0], "invite": ["a", "b", "c", "d"]}
VALUES |= {"tls_ca": ["/a", "/b", "/c", "/d"]}


def parsed(program, path, words):
    """The parameters of a command, as it would be run."""
    command = importlib.import_module(f"sleaprtc.{program}.__main__").main
    context = command.make_context(program, [*path, *words])
    for depth, name in enumerate(path, start=1):
        command = command.get_command(context, name)
        context = command.make_context(name, [*path[depth:], *words], parent=context)
    return context.params


@pytest.mark.parametrize("strongest", range(len(LEVELS) + 1))
@pytest.mark.parametrize(("program", "path", "flag", "parameter", "variable", "file", "default"), CASES)
def test_the_stronger_has_the_say(
    program, path, flag, parameter, variable, file, default, strongest, tmp_path, monkeypatch
):
    values = dict(zip(LEVELS, VALUES[parameter], strict=True))
    said = LEVELS[strongest:]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("platformdirs.user_config_path", lambda _: tmp_path / "user")
    (tmp_path / "user").mkdir()
    monkeypatch.delenv(variable, raising=False)
    words = [flag, str(values[FLAG])] if FLAG in said else []
    if ENVIRONMENT in said:
        monkeypatch.setenv(variable, str(values[ENVIRONMENT]))
    if PROJECT in said:
        (tmp_path / "sleap-rtc.toml").write_text(file.format(values[PROJECT]) + "\n")
    if USER in said:
        (tmp_path / "user" / "config.toml").write_text(file.format(values[USER]) + "\n")
    found = parsed(program, path, words)[parameter]
    if said:
        assert found == values[said[0]]
    elif default is not None:
        assert found == default
