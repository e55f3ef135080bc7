"""Parses untrusted YAML and JSON into plain values, within limits.

Of YAML, only what JSON has, too, is accepted: no dates, sets, binary data or Python objects, no merge keys
(which can multiply without limit), and no repeated keys. Importing yaml takes 30 ms, so this is put off until
a configuration is read.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..base.json_text import object_without_repeats
from ..errors import SleapRTCError
from .reading import CONFIGURATION, FileLimitError, reading

if TYPE_CHECKING:
    import yaml

MAX_CONFIG_BYTES: Final = 256 * 1024
"""SLEAP's own exports have about 5 KiB."""

MAX_CONFIG_DEPTH: Final = 16
MAX_CONFIG_VALUES: Final = 20_000
"""Counted with YAML aliases expanded, so that aliases can't multiply the content."""

MAX_WHOLE_NUMBER: Final = 2**63
"""A larger whole number is a mistake, and the next program may not be able to read it."""

MAX_NUMBER_CHARS: Final = 400

_PATH_CHARS: Final = 100
"""How much of a value's location is shown in messages."""

_TAG: Final = "tag:yaml.org,2002:"
_PLAIN_TAGS: Final = tuple(_TAG + kind for kind in ("null", "bool", "int", "float", "seq", "map", "str"))
_MERGE: Final = _TAG + "merge"

_FLOAT_LIKE_JSON: Final = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+\Z")
"""Numbers such as 1e-4, which YAML 1.1 takes for texts. YAML 1.2, JSON and sleap-nn's own reader don't."""


def read_document(text: bytes, name: str, error: type[SleapRTCError]) -> dict[Any, Any]:
    """Parses a configuration into plain values: JSON if its name ends with ``.json``, otherwise YAML.

    Args:
        text: The file's content.
        name: Its name.
        error: The class to raise for a broken file.

    Raises:
        SleapRTCError: Of the class ``error``: it isn't a configuration, or is larger than any configuration.
    """
    with reading(CONFIGURATION, name, error):
        if len(text) > MAX_CONFIG_BYTES:
            raise FileLimitError(f"it is too large, with more than {MAX_CONFIG_BYTES // 1024} KiB")
        document = _load_json(text) if name.endswith(".json") else _load_yaml(text)
        if not isinstance(document, dict):
            raise ValueError("it has no sections")  # noqa: TRY004
        check_values(document)
    return document


def check_values(document: Any) -> None:
    """Checks every value and key of a document.

    Raises:
        ValueError: It's too deep or too long, or has a value that can't be passed on.
    """
    for count, (place, value, depth) in enumerate(_walk(document), start=1):
        if count > MAX_CONFIG_VALUES or depth > MAX_CONFIG_DEPTH:
            raise FileLimitError("it is too deep or too long")
        if isinstance(value, str):
            value.encode()  # fails for a lone surrogate
        elif isinstance(value, int) and not -MAX_WHOLE_NUMBER <= value < MAX_WHOLE_NUMBER:
            raise FileLimitError(f"the number at {place or 'its top'} is too large")
        elif value is not None and not isinstance(value, int | float | list | Mapping):
            raise ValueError(f"the value at {place or 'its top'} is neither a number nor a text")


def texts_in(document: Any) -> Iterator[tuple[str, str]]:
    """Yields the location and text of every string, including keys, in a document that has been checked."""
    for place, value, _ in _walk(document):
        if isinstance(value, str):
            yield place, value


def _walk(document: Any) -> Iterator[tuple[str, Any, int]]:
    """Yields every value and key with its location and depth. It never ends if a value contains itself."""
    pending: list[tuple[str, Any, int]] = [("", document, 1)]
    while pending:
        place, value, depth = pending.pop()
        yield place, value, depth
        if isinstance(value, Mapping):
            pending.extend((_below(place, key), inner, depth + 1) for key, inner in value.items())
            pending.extend((place, key, depth) for key in value)
        elif isinstance(value, list):
            pending.extend((place, inner, depth + 1) for inner in value)


def _below(place: str, key: Any) -> str:
    below = f"{place}.{key}" if isinstance(key, str) else f"{place}.?"
    return below.lstrip(".")[:_PATH_CHARS]


def _load_json(text: bytes) -> Any:
    return json.loads(text, object_pairs_hook=object_without_repeats)


def _load_yaml(text: bytes) -> Any:
    import yaml

    try:
        return yaml.load(text, _loader_class())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "it isn't YAML"
        raise ValueError(problem if mark is None else f"line {mark.line + 1}: {problem}") from error


@functools.cache
def _loader_class() -> type[yaml.SafeLoader]:
    import yaml
    from yaml.constructor import ConstructorError

    class PlainLoader(yaml.SafeLoader):
        """YAML's safe loader, restricted to what configurations contain."""

        yaml_implicit_resolvers = {  # noqa: RUF012
            first: [(tag, pattern) for tag, pattern in resolvers if tag in (*_PLAIN_TAGS, _MERGE)]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }
        yaml_constructors = {  # noqa: RUF012
            tag: yaml.SafeLoader.yaml_constructors[tag] for tag in (*_PLAIN_TAGS, None)
        }

        node_count = 0
        nesting = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            """Stops as soon as a document exceeds the limits.

            Parsing the rest would be slow, and could use up the stack, so that other code fails, too.
            """
            self.node_count += 1
            self.nesting += 1
            if self.node_count > MAX_CONFIG_VALUES or self.nesting > 2 * MAX_CONFIG_DEPTH:
                raise FileLimitError("it is too deep or too long")
            node = super().compose_node(parent, index)
            self.nesting -= 1
            return node

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            """Refuses merge keys and repeated keys."""
            for key, _ in node.value:
                if key.tag == _MERGE:
                    raise ConstructorError(None, None, "merge keys (<<) aren't read", key.start_mark)
            mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
            if len(mapping) != len(node.value):
                raise ConstructorError(None, None, "a key is repeated", node.start_mark)
            return mapping

        def construct_scalar(self, node: Any) -> Any:
            """Refuses numbers so long that converting them would be slow."""
            value = super().construct_scalar(node)
            if node.tag in (f"{_TAG}int", f"{_TAG}float") and len(value) > MAX_NUMBER_CHARS:
                raise ConstructorError(None, None, "a number is too long", node.start_mark)
            return value

    PlainLoader.add_implicit_resolver(f"{_TAG}float", _FLOAT_LIKE_JSON, list("-+0123456789"))
    return PlainLoader
