"""The only place where bytes become messages and messages become text.

Decoding is stricter than cattrs: a number doesn't pass for a string, a string for a list, or ``true`` for a
number. Whatever is wrong with the input raises a :class:`~sleaprtc.errors.ProtocolError`, and nothing else is
raised.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar, cast, get_args, get_origin

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from ..base.json_text import LoneSurrogateError, format_json, object_without_repeats, refuse_lone_surrogates
from ..base.sentences import as_clause
from ..errors import InvalidJSONError, InvalidMessageError, UnknownMessageTypeError
from . import answers, jobs, messages, transfer
from .limits import MAX_ICE_SERVERS, MAX_JSON_DEPTH, MAX_NAME_CHARS
from .messages import JSONObject
from .units import NOT_KNOWN, is_unit, range_of, ranges_of
from .values import Rule, is_credential, is_ice_url

T = TypeVar("T")


MAX_INTEGER: Final = 2**63
"""No size, count or time comes near it, and a larger integer may not be representable as a float."""


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is out of range")
    return number


_decoder = json.JSONDecoder(
    object_pairs_hook=object_without_repeats, parse_constant=_no_constant, parse_float=_finite_float
)


def _depth_exceeds(value: Any, limit: int) -> bool:
    level: list[Any] = [value]
    for _ in range(limit + 1):
        level = [
            inner
            for item in level
            if isinstance(item, (dict, list))
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def decode_json_object(text: str | bytes) -> dict[str, Any]:
    """Parses one JSON object.

    Raises:
        InvalidJSONError: Not JSON, not valid Unicode, too deep, or with a repeated key or a number
            that isn't finite.
        InvalidMessageError: JSON, but not an object, or with a lone surrogate in a string or key.
    """
    try:
        document = text if isinstance(text, str) else text.decode("utf-8")
        value = _decoder.decode(document)
    except (ValueError, RecursionError) as error:
        raise InvalidJSONError(f"The message is not valid JSON: {as_clause(error)}.") from error
    # Counting brackets is quick, and most documents have too few to be deep.
    brackets = document.count("{") + document.count("[")
    if brackets > MAX_JSON_DEPTH and _depth_exceeds(value, MAX_JSON_DEPTH):
        raise InvalidJSONError(f"The message is nested more than {MAX_JSON_DEPTH} levels deep.")
    if not isinstance(value, dict):
        raise InvalidMessageError("A message must be a JSON object.")
    try:
        refuse_lone_surrogates(document, value)
    except LoneSurrogateError as error:
        raise InvalidMessageError(f"The message isn't Unicode text: {as_clause(error)}.") from error
    return value


# --- strict structuring ---------------------------------------------------------------------


class _WrongValueError(TypeError):
    pass


def _strict(kind: type[T], name: str) -> Callable[[Any, Any], T]:
    def structure(value: Any, _: Any) -> T:
        if type(value) is not kind:
            raise _WrongValueError(f"must be {name}")
        return value

    return structure


def _integer(value: Any, _: Any) -> int:
    """JSON has one kind of number: 25.0 is an integer (RFC 8259, section 6)."""
    if type(value) not in (int, float) or value != value // 1:
        raise _WrongValueError("must be an integer")
    if not -MAX_INTEGER < value < MAX_INTEGER:
        raise _WrongValueError("is out of range")
    return int(value)


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise _WrongValueError("must be a number")
    if type(value) is int and not -MAX_INTEGER < value < MAX_INTEGER:
        raise _WrongValueError("is out of range")
    return cast(float, value)


def _object(value: Any, _: Any) -> JSONObject:
    if type(value) is not dict:
        raise _WrongValueError("must be an object")
    return cast(JSONObject, value)


_converter = cattrs.Converter()
_converter.register_structure_hook(str, _strict(str, "a string"))
_converter.register_structure_hook(int, _integer)
_converter.register_structure_hook(bool, _strict(bool, "true or false"))
_converter.register_structure_hook(float, _number)


def _is_mapping(kind: Any) -> bool:
    return get_origin(kind) is Mapping


_converter.register_structure_hook_func(_is_mapping, _object)


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


@_converter.register_structure_hook_factory(_is_tuple)
def _structure_tuple(kind: Any) -> Callable[[Any, Any], tuple[Any, ...]]:
    item_kind = get_args(kind)[0]

    def structure(value: Any, _: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise _WrongValueError("must be a list")
        return tuple(_converter.structure(item, item_kind) for item in value)

    return structure


@_converter.register_structure_hook_factory(is_unit)
def _structure_unit(kind: Any) -> Callable[[Any, Any], float]:
    plain, allowed = get_args(kind)[0], range_of(kind)
    assert allowed is not None

    def structure(value: Any, _: Any) -> float:
        number: float = _converter.structure(value, plain)
        if number not in allowed:
            raise _WrongValueError(f"must be {allowed}")
        return number

    return structure


def _has_rule(kind: Any) -> bool:
    return get_origin(kind) is Annotated and isinstance(get_args(kind)[1], Rule)


@_converter.register_structure_hook_factory(_has_rule)
def _structure_by_rule(kind: Any) -> Callable[[Any, Any], Any]:
    base, rule = get_args(kind)

    def structure(value: Any, _: Any) -> Any:
        decoded = _converter.structure(value, base)
        if not rule.holds(decoded):
            raise _WrongValueError(rule.wording)
        return decoded

    return structure


@_converter.register_structure_hook_factory(attrs.has)
def _structure_attrs(cls: type[Any]) -> Callable[[Any, Any], Any]:
    structure_fields = make_dict_structure_fn(cls, _converter, **_renames(cls))
    if cls.__module__ == jobs.__name__ or cls is messages.Candidate:
        return _without_nulls(cls, structure_fields)

    def structure(value: Any, kind: Any) -> Any:
        return structure_fields(_object(value, kind), kind)

    return structure


def _without_nulls(cls: type[Any], structure_fields: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Treats null in an optional field as a missing field, in job messages and candidates.

    In a job message, -1 counts as missing, too, if the number can't be negative. In a report, so does any
    number out of its range. In candidates, WebRTC itself allows null for ``sdpMid``.
    """
    names = _renames(cls)
    optional = {
        names[field.name].rename if field.name in names else field.name
        for field in attrs.fields(cls)
        if field.default is not attrs.NOTHING
    }
    ranges = ranges_of(cls)
    is_report = cls in jobs.REPORTS

    def is_left_out(key: str, part: Any) -> bool:
        if part is None or key not in optional or key not in ranges or type(part) not in (int, float):
            return part is None and key in optional
        return part not in ranges[key] and (is_report or part == NOT_KNOWN)

    def structure(value: Any, kind: Any) -> Any:
        present = {key: part for key, part in _object(value, kind).items() if not is_left_out(key, part)}
        return structure_fields(present, kind)

    return structure


_converter.register_unstructure_hook(str, str)  # a member of the vocabulary becomes the string that it is


@_converter.register_unstructure_hook_factory(attrs.has)
def _unstructure_attrs(cls: type[Any]) -> Callable[[Any], dict[str, Any]]:
    unstructure_fields = make_dict_unstructure_fn(cls, _converter, **_renames(cls))

    def unstructure(value: Any) -> dict[str, Any]:
        return {key: part for key, part in unstructure_fields(value).items() if part is not None}

    return unstructure


def _structure_ice_server(value: Any, kind: Any) -> messages.IceServer:
    """Accepts one string for ``urls`` as well as a list of them, as WebRTC does."""
    fields = dict(_object(value, kind))
    if isinstance(fields.get("urls"), str):
        fields["urls"] = [fields["urls"]]
    return _ice_server_fields(fields, kind)


def _structure_usable_ice_servers(value: Any, _: Any) -> tuple[messages.IceServer, ...]:
    servers = _converter.structure(value, tuple[messages.IceServer, ...])
    return tuple(usable for server in servers if (usable := _usable(server)) is not None)[:MAX_ICE_SERVERS]


def _usable(server: messages.IceServer) -> messages.IceServer | None:
    """Drops addresses that a peer can't use; returns None if none is left."""
    urls = tuple(filter(is_ice_url, server.urls))[:MAX_ICE_SERVERS]
    access = (word for word in (server.username, server.credential) if word is not None)
    return attrs.evolve(server, urls=urls) if urls and all(map(is_credential, access)) else None


def _renames(cls: type[Any]) -> dict[str, Any]:
    if cls is messages.Candidate:
        return {
            "sdp_mid": override(rename="sdpMid"),
            "sdp_mline_index": override(rename="sdpMLineIndex"),
        }
    return {}


_ice_server_fields = make_dict_structure_fn(messages.IceServer, _converter)
_converter.register_structure_hook(messages.IceServer, _structure_ice_server)
_converter.register_structure_hook_func(
    lambda kind: kind == messages.UsableIceServers, _structure_usable_ice_servers
)


def _first_fault(error: BaseException, path: str = "") -> str:
    """Describes the first invalid field, from the innermost of cattrs' error groups."""
    if isinstance(error, cattrs.ClassValidationError):
        with_notes, without = error.group_exceptions()
        if with_notes:
            inner, note = with_notes[0]
            return _first_fault(inner, f"{path}.{note.name}" if path else note.name)
        return _first_fault(without[0], path)
    if isinstance(error, KeyError):
        missing = error.args[0]
        return f"{f'{path}.{missing}' if path and path != missing else missing} is missing"
    if isinstance(error, _WrongValueError):
        return f"{path or 'the message'} {error}"
    return f"{path or 'the message'} is not valid"


def _structure(value: dict[str, Any], cls: type[T], kind: str) -> T:
    try:
        return _converter.structure(value, cls)
    except (cattrs.BaseValidationError, TypeError, ValueError, KeyError, AttributeError) as error:
        fault = InvalidMessageError(f"{kind}: {_first_fault(error)}.")
        fault.message_type = kind
        raise fault from error


def _by_name(key: str, *classes: type[Any]) -> dict[str, type[Any]]:
    return {getattr(cls, key): cls for cls in classes}


_CLIENT_MESSAGES = _by_name("type", *get_args(messages.ClientMessage))
_SERVER_MESSAGES = _by_name("type", *get_args(messages.ServerMessage))
_JOB_MESSAGES = _by_name("app_message_type", *get_args(jobs.JobMessage))
_TRANSFER_FRAMES = _by_name("type", *get_args(transfer.TransferFrame))
_PROOF_FRAMES = _by_name("type", *get_args(transfer.ProofFrame))
_RATE_FRAMES = _by_name("type", *get_args(transfer.RateFrame))


def _decode_tagged(value: dict[str, Any], key: str, classes: dict[str, type[Any]]) -> Any:
    kind = value.get(key)
    if not isinstance(kind, str):
        raise InvalidMessageError(f"A message must have a string field `{key}`.")
    cls = classes.get(kind)
    if cls is None:
        raise UnknownMessageTypeError(f"Unknown message type {kind[:64]!r}.")
    return _structure(value, cls, kind)


# --- decoding -------------------------------------------------------------------------------


def decode_client_message(text: str | bytes) -> messages.ClientMessage:
    """Decodes a message from a peer to the server.

    Raises:
        ProtocolError: As InvalidJSONError, InvalidMessageError or UnknownMessageTypeError.
    """
    value = decode_json_object(text)
    return _peer_message(value) or cast(
        messages.ClientMessage, _decode_tagged(value, "type", _CLIENT_MESSAGES)
    )


def _peer_message(value: dict[str, Any]) -> messages.PeerMessage | None:
    """Decodes the server's most frequent message in a third of the time; returns None for any other."""
    if value.get("type") != messages.PeerMessage.type:
        return None
    sender, target, payload = value.get("from_peer_id"), value.get("to_peer_id"), value.get("payload")
    if type(sender) is str and type(target) is str and type(payload) is dict:
        return messages.PeerMessage(sender, target, payload)
    return None


def decode_server_message(text: str | bytes) -> messages.ServerMessage:
    """Decodes a message from the server to a peer.

    Raises:
        ProtocolError: As InvalidJSONError, InvalidMessageError or UnknownMessageTypeError.
    """
    return cast(messages.ServerMessage, _decode_tagged(decode_json_object(text), "type", _SERVER_MESSAGES))


def decode_answer(text: bytes, kind: type[answers.Answer]) -> answers.Answer:
    """Decodes an answer of the server's HTTP port.

    Args:
        text: The answer's body.
        kind: The answer that the call has.

    Raises:
        InvalidJSONError: The body isn't JSON.
        InvalidMessageError: The body isn't an answer of this kind.
    """
    return _structure(decode_json_object(text), kind, kind.call)


def decode_job_message(payload: JSONObject) -> jobs.JobMessage:
    """Decodes the payload of a peer message.

    Raises:
        ProtocolError: As InvalidMessageError or UnknownMessageTypeError.
    """
    message = cast(jobs.JobMessage, _decode_tagged(dict(payload), "app_message_type", _JOB_MESSAGES))
    if len(message.job_id or "") > MAX_NAME_CHARS:
        raise InvalidMessageError(f"{message.app_message_type}: job_id is too long.")
    if isinstance(message, jobs.JobRequest) and (fault := jobs.fault_in_config(message)) is not None:
        raise InvalidMessageError(f"{message.app_message_type}: {fault}.")
    return message


def decode_transfer_frame(text: str) -> transfer.TransferFrame:
    """Decodes a control frame of a file transfer.

    Raises:
        ProtocolError: As InvalidJSONError, InvalidMessageError or UnknownMessageTypeError.
    """
    return cast(transfer.TransferFrame, _decode_tagged(decode_json_object(text), "type", _TRANSFER_FRAMES))


def decode_proof_frame(text: str) -> transfer.ProofFrame:
    """Decodes a control frame of the proof that precedes any file.

    Raises:
        ProtocolError: As InvalidJSONError, InvalidMessageError or UnknownMessageTypeError.
    """
    return cast(transfer.ProofFrame, _decode_tagged(decode_json_object(text), "type", _PROOF_FRAMES))


def decode_rate_frame(text: str) -> transfer.RateFrame:
    """Decodes a control frame of a channel that is being measured.

    Raises:
        ProtocolError: As InvalidJSONError, InvalidMessageError or UnknownMessageTypeError.
    """
    return cast(transfer.RateFrame, _decode_tagged(decode_json_object(text), "type", _RATE_FRAMES))


# --- encoding -------------------------------------------------------------------------------


def encode_message(message: messages.ClientMessage | messages.ServerMessage) -> str:
    """Encodes a signaling message; fields that are ``None`` are left out."""
    return format_json({"type": message.type, **_converter.unstructure(message)})


def encode_job_message(message: jobs.JobMessage) -> dict[str, Any]:
    """Encodes a job message as the payload of a peer message."""
    return {"app_message_type": message.app_message_type, **_converter.unstructure(message)}


def encode_transfer_frame(frame: transfer.TransferFrame | transfer.ProofFrame | transfer.RateFrame) -> str:
    """Encodes a control frame of the data channel."""
    return format_json({"type": frame.type, **_converter.unstructure(frame)})


def encode_metadata(metadata: messages.Metadata) -> str:
    """Encodes a peer's metadata alone, as it appears inside messages."""
    return format_json(_converter.unstructure(metadata))


def encode_peer_info(peer: messages.PeerInfo) -> str:
    """Encodes one entry of a ``peer_list``, for :func:`encode_peer_list`."""
    return format_json(_converter.unstructure(peer))


def encode_peer_list(to_peer_id: str, encoded_peers: Sequence[str]) -> str:
    """Encodes a ``peer_list`` from encoded entries, so that a peer is encoded once for many lists."""
    head = (
        f'{{"type":"peer_list","to_peer_id":{format_json(to_peer_id)},"count":{len(encoded_peers)},"peers":['
    )
    entries = list(encoded_peers) or [""]
    entries[0] = head + entries[0]
    entries[-1] += "]}"
    return ",".join(entries)  # once: an answer may be 1 MiB, and copying it costs more than finding the peers
