"""TLS to the signaling server, always verified, and the reasons why a connection to it failed."""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import Iterator
from typing import Final

from ..base.exception_groups import leaves
from ..base.sentences import as_clause
from ..errors import (
    NetworkError,
    SignalingResetError,
    SignalingUnreachableError,
    UntrustedServerError,
    UsageError,
)

_CUT_BY_THE_OTHER_END: Final = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)
_NO_ANSWER: Final = "Server disconnected without sending a response."
"""httpcore's message if the other end closes the connection instead of answering."""


@functools.lru_cache(maxsize=4)
def client_context(ca_file: str | None) -> ssl.SSLContext:
    """Makes a TLS context that trusts the system's authorities, or only those of ``ca_file``.

    It also checks that a certificate is for the server's host name.

    Raises:
        UsageError: ``ca_file`` can't be read, or contains no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise UsageError(f"{ca_file} has no certificate in PEM form (--tls-ca).") from error
    except OSError as error:
        raise UsageError(f"{ca_file} can't be read: {as_clause(error)} (--tls-ca).") from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and its causes; of a group, the exceptions inside."""
    while error is not None:
        yield from leaves(error)
        error = error.__cause__ or error.__context__


def connection_error(url: str, error: BaseException) -> NetworkError:
    """Returns an error that says why the connection to the server at ``url`` failed."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = as_clause(cause.verify_message)
            return UntrustedServerError(
                f"The signaling server at {url} isn't trusted: its certificate isn't valid ({why}). "
                "If a private authority signed it, name the authority with --tls-ca or SLEAP_RTC_TLS_CA."
            )
        if isinstance(cause, ssl.SSLError):
            return SignalingUnreachableError(
                f"The signaling server at {url} can't be reached: the TLS handshake failed "
                f"({as_clause(cause.reason or 'it was cut off')})."
            )
    if any(isinstance(cause, _CUT_BY_THE_OTHER_END) or str(cause) == _NO_ANSWER for cause in _causes(error)):
        return reset_error(url)
    by_the_system = (cause for cause in _causes(error) if isinstance(cause, OSError) and cause.errno)
    first = next(by_the_system, next(leaves(error.__cause__ or error)))
    return SignalingUnreachableError(
        f"The signaling server at {url} can't be reached: {as_clause(_reason(first))}."
    )


def reset_error(url: str) -> SignalingResetError:
    """Returns the error for a server at ``url`` that closed the connection before it answered."""
    return SignalingResetError(f"The signaling server at {url} ended the connection before it answered.")


def _reason(error: BaseException) -> str:
    """Returns the system's own reason, without the text that libraries put around it."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:  # else a resolver's
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
