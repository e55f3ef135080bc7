"""Run as ``python start.py EVENTS_FD``; this folder becomes a package of its own, whatever else is installed.

The process is started in a session of its own, with its task as one JSON line on standard input, and says
everything as one JSON object a line to the pipe with the given number: libraries print to standard output.
A later line ``stop`` on standard input ends training early; its end means that the parent is gone, and ends
this process with all its children.
"""

import importlib
import importlib.util
import pathlib
import sys

PACKAGE = "sleap_rtc_runner"


def main() -> None:
    """Carries out the one task that the parent sends."""
    folder = pathlib.Path(__file__).resolve().parent
    # modules beside this file must not shadow installed ones
    sys.path[:] = [entry for entry in sys.path if entry != str(folder)]
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
    importlib.import_module(f"{PACKAGE}.tasks").main(int(sys.argv[1]))


if __name__ == "__main__":
    main()
