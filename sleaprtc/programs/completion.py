"""``sleap-rtc completion``: prints the script with which a shell completes our commands.

The script asks ``sleap-rtc`` itself what fits, by the environment variable ``_SLEAP_RTC_COMPLETE``.
"""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from ..commandline.programs import Program

PROGRAM_NAME: Final = "sleap-rtc"
VARIABLE: Final = "_SLEAP_RTC_COMPLETE"
"""The variable that click derives from the program's name."""


HELP: Final = """\
Print the script that makes SHELL complete commands, options, files and jobs.

\b
bash:  echo 'eval "$(sleap-rtc completion bash)"' >> ~/.bashrc
zsh:   echo 'eval "$(sleap-rtc completion zsh)"' >> ~/.zshrc
fish:  sleap-rtc completion fish > ~/.config/fish/completions/sleap-rtc.fish

It takes effect in shells that you start afterwards. In zsh, call `compinit` before it.
"""


@click.command(cls=Program, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def main(shell: str) -> None:
    """Print the script that makes a shell complete our commands."""
    program = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    assert kind is not None, "click knows these three"
    click.echo(kind(program, {}, PROGRAM_NAME, VARIABLE).source())
