"""Every limit and duration of the protocol, with its unit and its reason."""

from __future__ import annotations

from typing import Final

MIB: Final = 2**20

# --- durations the protocol fixes (protocol reference, "Jobs" and "HTTP") -------------------

ROOM_TTL_SEC: Final = 2 * 60 * 60
JOB_RESPONSE_TIMEOUT_SEC: Final = 5.0
RESERVATION_SEC: Final = 10.0
UNPROVEN_HOLD_SEC: Final = 10.0
UNPROVEN_HOLD_WINDOW_SEC: Final = 60.0
"""In any window of a minute, a worker holds slots for at most ten seconds for one account whose requests
don't prove the room's secret."""

CONNECT_SEC: Final = 60.0
"""How long a worker waits for the client of an assigned job to connect."""

RETURN_SEC: Final = 180.0
"""How long a client that was connected may take to come back while inputs of its job are missing. One that
was suspended for two minutes has yet to reconnect, and would have to send everything again."""

UNPROVEN_CONNECT_SEC: Final = 15.0
"""The same for a client that hasn't proved the room's secret and for which no slot was held."""

STATUS_INTERVAL_SEC: Final = 5.0
"""A running job sends a status at least this often, even if no epoch ends."""

REGISTRATION_TIMEOUT_SEC: Final = 10.0
"""A connection that hasn't registered by then is closed with 4008."""

ID_TOKEN_TTL_SEC: Final = 24 * 60 * 60

# --- signaling ------------------------------------------------------------------------------

MAX_FRAME_BYTES: Final = 256 * 1024
"""Largest frame that the server reads. An SDP with candidates is under 10 KiB."""

MAX_SERVER_FRAME_BYTES: Final = 16 * MIB
"""Largest frame that a peer reads from the server: a `peer_list` of a thousand peers is about 1 MiB."""

MAX_JSON_DEPTH: Final = 32
"""Nesting of a message. The protocol's own deepest message has six levels."""

MAX_METADATA_BYTES: Final = 32 * 1024
MAX_TAGS: Final = 64
MAX_PROPERTIES: Final = 128
MAX_NAME_CHARS: Final = 128
"""Peer ids, roles, tags, property names and job ids."""

MAX_ROOM_WORD_CHARS: Final = 64
"""Room ids and tokens, wherever they enter."""

MAX_ID_TOKEN_CHARS: Final = 8 * 1024
"""An id token is sent in one HTTP header; those of identity providers have 1 to 2 KiB."""

MAX_OPAQUE_CHARS: Final = 1024
"""Resume tokens, and user names and credentials of TURN servers."""

MAX_ICE_SERVERS: Final = 32
"""For a list of servers, and for the addresses of one server: each is queried before a connection is made."""

MAX_ANSWER_BYTES: Final = 1 * MIB
"""The most that a peer reads of one HTTP answer. The longest, a key set, has a few KiB."""

MAX_SDP_BYTES: Final = 64 * 1024
MAX_CANDIDATE_BYTES: Final = 2 * 1024
MAX_PEERS_PER_ROOM: Final = 2000
MAX_ROOMS_PER_ACCOUNT: Final = 100
MAX_HTTP_BODY_BYTES: Final = 64 * 1024

OUTBOX_MESSAGES: Final = 1024
"""The most messages of other peers that may wait for one peer's socket. A sender may have as many waiting as
places are still free: half of them, if it is the only sender. Its further messages are refused with
DELIVERY_FAILED. As many of the server's own answers may wait; a peer that lets more pile up is disconnected
with close code 1013."""

OUTBOX_DUE_MESSAGES: Final = 16
OUTBOX_DUE_BYTES: Final = 64 * 1024
"""What each sender may have waiting for one peer in any case: enough for an offer and its candidates."""

MAX_MESSAGES_PER_SEC: Final = 2000
MESSAGE_BURST: Final = 4000
"""Token bucket for what one connection may send: well above ICE trickling, below a flood."""

MAX_REFUSED_MESSAGES_PER_SEC: Final = 10
REFUSED_MESSAGE_BURST: Final = 100
"""Token bucket for messages above that limit. Each is answered with RATE_LIMITED; once the bucket is empty,
the connection is closed with 4029."""

HEARD_MESSAGES_PER_SEC: Final = 50
HEARD_MESSAGE_BURST: Final = 200
"""Token bucket for the messages of one peer that a worker handles; it drops the rest. The clients of its jobs
are exempt. A client sends a few dozen messages for a job, most of them candidates."""

OUTBOX_BYTES: Final = 32 * MIB
"""The same as `OUTBOX_MESSAGES`, for few but large messages: room for two of the largest peer lists."""

OUTBOXES_BYTES: Final = 512 * MIB
OUTBOX_SHARE_BYTES: Final = 1 * MIB
"""What may wait for all peers' sockets together. From then on, nothing more is queued for a peer that has its
share already: `OUTBOX_BYTES` for each of hundreds of peers that don't read would fill a machine's memory."""

WRITE_TIMEOUT_SEC: Final = 30.0
"""Each MiB that waits for a peer's socket must be written within this time. Otherwise the peer is
disconnected, with close code 1013 if somebody still sends to it."""

CLOSE_GRACE_SEC: Final = 2.0
"""How long a peer may take to read what precedes the close frame, and to answer it (RFC 6455, 7.1.1)."""

HANDSHAKE_TIMEOUT_SEC: Final = 10.0
"""From an accepted TCP connection to a WebSocket (RFC 6455, section 4)."""

ENDED_ROOM_MEMORY_SEC: Final = 24 * 60 * 60
"""How long the server answers ROOM_EXPIRED for a room that has ended; then it answers ROOM_NOT_FOUND."""

ROOM_ID_CHARS: Final = 8
ROOM_TOKEN_CHARS: Final = 12
"""59 bits, with an alphabet of 31 characters: impossible to guess over a network."""

SIGN_INS_PER_SEC: Final = 20
SIGN_IN_BURST: Final = 300
ROOMS_PER_SEC: Final = 1
ROOM_BURST: Final = 300
"""Token buckets for one address: enough for a laboratory behind one router, too little for a flood."""

HTTP_KEEP_ALIVE_SEC: Final = 6.0
"""How long an HTTP connection may be idle. It is longer than the five seconds for which httpx keeps an idle
connection, so that httpx never sends into one that the server is closing."""

HTTP_REQUEST_SEC: Final = 15.0
"""From a request's first byte to its answer. A body that takes more than ten seconds is answered with 408."""

HTTP_ANSWER_SEC: Final = 10.0
"""How long a client may take to read an answer."""

MAX_CONNECTIONS_PER_ADDRESS: Final = 10_000
"""At each port, and never more than half of the port's places. A lecture hall behind one router has hundreds
of peers."""

MAX_FRAGMENTS: Final = 1024
"""Frames that one message may consist of, so that empty ones can't pile up (RFC 6455, section 5.4)."""

WRONG_TOKENS_PER_SEC: Final = 0.2
WRONG_TOKEN_BURST: Final = 20
"""Token bucket for wrong room tokens of one account: enough for typing errors, too little for guessing."""

WRONG_TOKEN_SITE_BURST: Final = 200
"""The same for all accounts of one address, and for all accounts that try one room: enough for a class that
mistypes."""

# --- numbers in job messages ------------------------------------------------------------------

MAX_COUNT: Final = 10**9
"""Frames, finished epochs, files. A year of video at 30 frames a second has about as many frames."""

MAX_EPOCHS: Final = 100_000
MAX_BATCH_SIZE: Final = 4096
MIN_LEARNING_RATE: Final = 1e-30
MAX_LEARNING_RATE: Final = 1e30
"""What a client can ask of a training. A rate that makes the loss infinite ends it with its own error."""

MIN_MEGAPIXELS: Final = 1e-6
MAX_MEGAPIXELS: Final = 1e6
"""One image: a single pixel, and a million by a million."""

MAX_SIZE_MB: Final = 2**40
"""An exbibyte, in MiB."""

MAX_DURATION_SEC: Final = 100 * 366 * 24 * 60 * 60
"""Durations and estimates: a century."""

MAX_UNIX_TIME: Final = 253_402_214_400
"""The end of the year 9999, the last one that most programs can show, less a day for time zones."""

MAX_SAFE_INTEGER: Final = 2**53 - 1
"""Sequence numbers and file offsets: the largest integer that JSON readers agree on (RFC 8259, section 6)."""

# --- transfer -------------------------------------------------------------------------------

DATA_CHANNEL_LABEL: Final = "sleap-rtc"
CHUNK_BYTES: Final = 16 * 1024
"""One binary message. RFC 8831, section 6.6, recommends no more, so that a message doesn't block others."""

ACK_INTERVAL_BYTES: Final = 1 * MIB
"""A receiver acknowledges what it has written. The protocol asks for every 4 MiB; ours does so more often."""

MAX_UNACKNOWLEDGED_BYTES: Final = 8 * MIB
"""The most that a sender has in flight. It is above the 4 MiB that may lie between two acknowledgements."""

MAX_CONTROL_FRAME_BYTES: Final = 16 * 1024

MAX_RESULT_FILES: Final = 64
"""Result files of one job. Our workers send one: a zip file of all models, or the predictions."""

MAX_RESULT_BYTES: Final = 64 * 1024 * MIB
"""All result files of one job. Each must also fit on the disk. A job has a few models of 0.1 to 1 GiB."""

RATE_PROBE_BYTES: Final = 4 * MIB
"""The most that is sent each way to measure a connection: about a second with the slower engine."""

RATE_PROBE_SEC: Final = 20.0
"""How long a worker keeps a connection that was opened only to be measured."""
