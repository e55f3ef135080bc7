"""A peer's metadata: how updates are merged, and how large it may be."""

from __future__ import annotations

from ..errors import InvalidMessageError, TooLargeError
from ..protocol.limits import MAX_METADATA_BYTES, MAX_NAME_CHARS, MAX_PROPERTIES, MAX_TAGS
from ..protocol.messages import Metadata
from ..protocol.values import is_name


def merged(current: Metadata, update: Metadata) -> Metadata:
    """Applies an update: properties key by key, where a null removes the key; tags as a whole."""
    tags = current.tags if update.tags is None else update.tags
    if update.properties is None:
        return Metadata(tags=tags, properties=current.properties)
    properties = {**(current.properties or {}), **update.properties}
    return Metadata(
        tags=tags, properties={name: value for name, value in properties.items() if value is not None}
    )


def check_metadata(metadata: Metadata) -> None:
    """Checks how many tags and properties there are, and how long their names are.

    Raises:
        TooLargeError: A limit is exceeded.
    """
    tags = metadata.tags or ()
    properties = metadata.properties or {}
    if len(tags) > MAX_TAGS:
        raise TooLargeError(f"A peer may have at most {MAX_TAGS} tags.")
    if len(properties) > MAX_PROPERTIES:
        raise TooLargeError(f"A peer may have at most {MAX_PROPERTIES} properties.")
    if any(len(name) > MAX_NAME_CHARS for name in (*tags, *properties)):
        raise TooLargeError(f"Tags and property names may have at most {MAX_NAME_CHARS} characters.")


def check_encoded_size(encoded: str) -> None:
    """Checks the size of a peer's encoded metadata.

    Raises:
        TooLargeError: It exceeds ``MAX_METADATA_BYTES``.
    """
    if len(encoded.encode()) > MAX_METADATA_BYTES:
        raise TooLargeError(f"A peer's metadata may be at most {MAX_METADATA_BYTES} bytes of JSON.")


def check_name(name: str, what: str) -> None:
    """Checks that a peer id or role can be shown on one line.

    Args:
        name: The peer id or role.
        what: Which of the two it is, for the error's sentence.

    Raises:
        InvalidMessageError: The name is empty or has control characters.
        TooLargeError: The name is too long.
    """
    if len(name) > MAX_NAME_CHARS:
        raise TooLargeError(f"The {what} may have at most {MAX_NAME_CHARS} characters.")
    if not is_name(name):
        raise InvalidMessageError(f"The {what} must not be empty or have control characters.")
