"""Every error that this package raises on purpose.

One tree under :class:`SleapRTCError`. Each class carries a stable ``code`` for programs and an
``exit_status`` for shells; ``str(error)`` is one sentence for a person.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_DONE = 0
EXIT_JOB_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_NO_WORKER = 4
EXIT_NETWORK = 5
EXIT_NOT_YET = 75
"""``EX_TEMPFAIL`` in sysexits.h: the result isn't available now, but may be later."""

EXIT_INTERRUPTED = 130
EXIT_NOBODY_READS = 141
"""128 + SIGPIPE, as a shell reports it: the reader of the output, such as ``head``, has closed the pipe."""


class SleapRTCError(Exception):
    """Base of all errors of this package.

    Attributes:
        code: Stable identifier, upper case.
        exit_status: What a command that ends with this error returns to its shell.
    """

    code: ClassVar[str] = "ERROR"
    exit_status: ClassVar[int] = EXIT_JOB_FAILED

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback (IPython calls this): the sentence."""
        return [f"{type(self).__name__}: {self}"]


# --- wrong usage or input -------------------------------------------------------------------


class UsageError(SleapRTCError):
    """A mistake in options, configuration or files, which the person at the terminal can correct."""

    code = "USAGE"
    exit_status = EXIT_USAGE


class OpenFolderError(UsageError):
    """Other users of the machine can read or write a folder for secrets and jobs."""

    code = "OPEN_FOLDER"


class InvalidDatasetError(UsageError):
    """A dataset isn't in the format that it claims to be in, or contains nothing to train on."""

    code = "INVALID_DATASET"


class InvalidTrainingConfigError(UsageError):
    """A training configuration can't be read, or asks for something that isn't allowed."""

    code = "INVALID_CONFIG"


class InvalidModelError(UsageError):
    """A model folder can't be used for prediction, or contains more than weights and settings."""

    code = "INVALID_MODEL"


class StillRunningError(UsageError):
    """What was asked for has to wait until the job is over."""

    code = "STILL_RUNNING"


# --- the wire -------------------------------------------------------------------------------


class ProtocolError(SleapRTCError):
    """The other side sent something that the protocol doesn't allow.

    ``code`` is the wire's error code (protocol reference, section 2).
    """

    code = "INVALID_MESSAGE"
    exit_status = EXIT_NETWORK


class InvalidJSONError(ProtocolError):
    """The bytes aren't a JSON document (RFC 8259), or contain NaN, an infinity or a repeated key."""

    code = "INVALID_JSON"


class InvalidMessageError(ProtocolError):
    """A message lacks a field or has an invalid one.

    Attributes:
        message_type: The message's type on the wire; None if it isn't known.
    """

    code = "INVALID_MESSAGE"
    message_type: str | None = None


class UnknownMessageTypeError(ProtocolError):
    """The message's type isn't known to this side."""

    code = "UNKNOWN_MESSAGE_TYPE"


class InvalidFilterError(ProtocolError):
    """A discovery filter has an unknown operator or an operand of the wrong type."""

    code = "INVALID_FILTER"


class TooLargeError(ProtocolError):
    """A frame, or a part of one, exceeds its limit in :mod:`sleaprtc.protocol.limits`."""

    code = "TOO_LARGE"


# --- refused by the server ------------------------------------------------------------------


class RefusedError(SleapRTCError):
    """The signaling server doesn't let this peer do what it asked."""

    code = "REFUSED"
    exit_status = EXIT_REFUSED


class RoomNotFoundError(RefusedError):
    """The room doesn't exist or the room token is wrong; the server doesn't tell which."""

    code = "ROOM_NOT_FOUND"


class RoomExpiredError(RefusedError):
    """The room has expired, or its creator deleted it."""

    code = "ROOM_EXPIRED"


class InvalidTokenError(RefusedError):
    """The identity token is missing, malformed, forged or expired."""

    code = "INVALID_TOKEN"


class PeerIdTakenError(RefusedError):
    """Another live peer of the room has this name."""

    code = "PEER_ID_TAKEN"


class IdentityMismatchError(RefusedError):
    """A message names a sender that isn't the peer registered on its connection."""

    code = "IDENTITY_MISMATCH"


class NotInRoomError(RefusedError):
    """No peer is registered on this connection."""

    code = "NOT_IN_ROOM"


class RateLimitedError(RefusedError):
    """Too many requests in too short a time."""

    code = "RATE_LIMITED"


class RoomFullError(RefusedError):
    """The room already has the maximum number of peers.

    On the wire its code is that of everything that exceeds a limit: peers know no other for it.
    """

    code = TooLargeError.code


class ForbiddenError(RefusedError):
    """The room or peer belongs to somebody else."""

    code = "FORBIDDEN"


class RoomSecretMissingError(RefusedError):
    """Only one of two peers has the room's secret, so they exchange no files."""

    code = "ROOM_SECRET_MISSING"


class PeerNotProvenError(RefusedError):
    """The peer at the other end of a data channel didn't prove that it knows the room's secret."""

    code = "PEER_NOT_PROVEN"


# --- network --------------------------------------------------------------------------------


class NetworkError(SleapRTCError):
    """A connection couldn't be made or was lost."""

    code = "NETWORK"
    exit_status = EXIT_NETWORK


class SignalingUnreachableError(NetworkError):
    """The signaling server doesn't answer at its address."""

    code = "SIGNALING_UNREACHABLE"


class SignalingResetError(SignalingUnreachableError):
    """The signaling server closed the connection before it answered, as it does while it restarts."""


class InvalidAnswerError(NetworkError):
    """The signaling server's answer breaks the protocol; none of it is used."""

    code = "INVALID_ANSWER"


class SignalingLostError(NetworkError):
    """The connection to the signaling server ended while it was in use."""

    code = "SIGNALING_LOST"


class UntrustedServerError(NetworkError):
    """The signaling server's certificate isn't valid for its address, or no trusted authority signed it."""

    code = "UNTRUSTED_SERVER"


class PeerUnreachableError(NetworkError):
    """The target isn't in this room, or its connection can't accept the message."""

    code = "PEER_NOT_IN_ROOM"


class DeliveryFailedError(PeerUnreachableError):
    """The target is in the room, but the message couldn't be handed to it."""

    code = "DELIVERY_FAILED"


class ConnectionFailedError(NetworkError):
    """The two peers couldn't open a WebRTC data channel within the time limit."""

    code = "CONNECTION_FAILED"


class ChannelClosedError(NetworkError):
    """Either side has closed the data channel, or its network path was lost."""

    code = "CHANNEL_CLOSED"


# --- transfer -------------------------------------------------------------------------------


class TransferError(SleapRTCError):
    """A file couldn't be transferred."""

    code = "TRANSFER_FAILED"
    exit_status = EXIT_NETWORK


class TransferRefusedError(TransferError):
    """The receiver declined the file."""

    code = "TRANSFER_REFUSED"


class TransferAbortedError(TransferError):
    """One side aborted the transfer."""

    code = "TRANSFER_ABORTED"


class SenderStalledError(TransferAbortedError):
    """The sender of an accepted file sends nothing, or almost nothing."""


class DigestMismatchError(TransferError):
    """The bytes that arrived don't match the announced digest."""

    code = "DIGEST_MISMATCH"


class InvalidFileNameError(TransferError):
    """A received file name isn't a single, plain path component."""

    code = "INVALID_NAME"


class InvalidArchiveError(TransferError):
    """A received archive has members that may not be unpacked."""

    code = "INVALID_ARCHIVE"


class AddressInUseError(UsageError):
    """A server can't listen on the requested address and port."""

    code = "ADDRESS_IN_USE"


class StorageError(SleapRTCError):
    """Local storage failed: disk full, folder not writable, database locked."""

    code = "STORAGE"


class NewerStateError(StorageError):
    """A newer version of sleap-rtc wrote a file, and this one doesn't know how to read it."""

    code = "NEWER_STATE"
    exit_status = EXIT_USAGE


# --- jobs -----------------------------------------------------------------------------------


class NoWorkerError(SleapRTCError):
    """No worker meets the job's requirements, or none of those that do accepted the job.

    Args:
        message: One sentence for a person.
        busy: Ids of workers that didn't answer, or refused because they are running other jobs. They may
            accept the job later.
        retry_after_sec: Seconds after which to ask again; None if no worker said so.
        all_busy: True if every worker that meets the requirements refused because it is running other jobs.
    """

    code = "NO_WORKER"
    exit_status = EXIT_NO_WORKER

    def __init__(
        self,
        message: str,
        *,
        busy: tuple[str, ...] = (),
        retry_after_sec: float | None = None,
        all_busy: bool = False,
    ) -> None:
        super().__init__(message)
        self.busy = busy
        self.retry_after_sec = retry_after_sec
        self.all_busy = all_busy


class JobFailedError(SleapRTCError):
    """The job ran and ended without a result.

    Args:
        message: One sentence for a person.
        error_code: The worker's code for what went wrong.
        recoverable: True if the same job may succeed when it's tried again.
    """

    code = "JOB_FAILED"

    def __init__(self, message: str, *, error_code: str = "JOB_FAILED", recoverable: bool = False) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.recoverable = recoverable


class BrokenResultError(JobFailedError):
    """The worker completed the job, but what it sent can't be used as a result.

    Args:
        message: One sentence for a person.
    """

    code = "BROKEN_RESULT"

    def __init__(self, message: str) -> None:
        super().__init__(message, error_code="BROKEN_RESULT")


class WorkerLostError(JobFailedError):
    """The worker stopped responding before the job ended.

    Args:
        message: One sentence for a person.
        way_back: What to do once the worker is back. It ends the message, so that a command in it is easy
            to copy.
        before_work: True if the worker was lost before work began, so that any worker may start the job.
    """

    code = "WORKER_LOST"

    def __init__(self, message: str, *, way_back: str = "", before_work: bool = False) -> None:
        super().__init__(f"{message} {way_back}".rstrip())
        self.sentence = message
        self.way_back = way_back
        self.before_work = before_work


class WorkerUnreachableError(WorkerLostError):
    """The worker is in the room, but no data channel to it can be opened."""

    code = "WORKER_UNREACHABLE"
    exit_status = EXIT_NETWORK


class WorkerAwayError(WorkerLostError):
    """The worker of an earlier job isn't in the room now, or doesn't answer."""

    code = "WORKER_AWAY"


class UnknownJobError(JobFailedError):
    """The worker has no such job, or no longer has it."""

    code = "UNKNOWN_JOB"


class TakenOverError(SleapRTCError):
    """Another process of the same client has attached to the job and follows it from now on."""

    code = "TAKEN_OVER"
    exit_status = EXIT_NOT_YET


class NotFinishedError(SleapRTCError):
    """A job's result was asked for while the job still runs."""

    code = "NOT_FINISHED"
    exit_status = EXIT_NOT_YET


class NobodyReadsError(SleapRTCError):
    """The reader of a command's output has closed it. Jobs that the command started continue."""

    code = "NOBODY_READS"
    exit_status = EXIT_NOBODY_READS


class JobCancelledError(SleapRTCError):
    """The person at the terminal cancelled the job."""

    code = "CANCELLED"
    exit_status = EXIT_INTERRUPTED


class TrainerError(SleapRTCError):
    """Training couldn't be started, or ended without a usable model.

    Args:
        message: One sentence for a person.
        error_code: Stable identifier of the cause.
        recoverable: True if the same job may succeed when it's tried again.
    """

    code = "TRAINING_FAILED"

    def __init__(
        self, message: str, *, error_code: str = "TRAINING_FAILED", recoverable: bool = False
    ) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.recoverable = recoverable
