"""STUN and TURN servers in the form in which users write them."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from ..errors import UsageError
from .messages import IceServer
from .values import is_ice_url

_ICE_SERVER: Final = re.compile(
    r"(?P<scheme>stuns?|turns?):(?:(?P<username>[^:@]*):(?P<credential>[^@]*)@)?(?P<rest>[^@\s]+)"
)


def parse_ice_server(text: str) -> IceServer:
    """Parses ``stun:HOST:PORT`` or ``turn:USER:PASSWORD@HOST:PORT?transport=udp`` (RFC 7064, RFC 7065).

    User and password are an addition to the RFCs' form. Special characters in them are percent-encoded, such
    as ``%40`` for ``@`` (RFC 3986, section 2.1).

    Raises:
        UsageError: The text has neither form.
    """
    found = _ICE_SERVER.fullmatch(text)
    url = "" if found is None else f"{found['scheme']}:{found['rest']}"
    if found is None or not is_ice_url(url):
        raise UsageError(
            "An ICE server must be stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT, optionally with"
            " ?transport=udp or ?transport=tcp."
        )
    if found["username"] is None:
        return IceServer((url,))
    return IceServer((url,), unquote(found["username"]), unquote(found["credential"]))
