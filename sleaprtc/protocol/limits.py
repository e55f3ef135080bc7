"""Every limit and duration of the wire, with its unit and its reason."""

from __future__ import annotations

from typing import Final

MIB: Final = 2**20

# --- durations the protocol fixes (protocol reference, "Jobs" and "HTTP") -------------------

ROOM_TTL_SEC: Final = 2 * 60 * 60
JOB_RESPONSE_TIMEOUT_SEC: Final = 5.0
RESERVATION_SEC: Final = 10.0
UNPROVEN_HOLD_SEC: Final = 10.0
UNPROVEN_HOLD_WINDOW_SEC: Final = 60.0
"""How long slots are held, in any minute, for requests that don't prove the room's secret."""

CONNECT_SEC: Final = 60.0
"""How long a worker waits for the client of an assigned job to connect, and to come back."""

UNPROVEN_CONNECT_SEC: Final = 15.0
"""The same for a client that has proved nothing and for whom no slot was held."""

STATUS_INTERVAL_SEC: Final = 5.0
"""A running job says something at least this often, even where no epoch ends."""

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
"""It goes into one header; identity providers' tokens have 1 to 2 KiB."""

MAX_OPAQUE_CHARS: Final = 1024
"""Resume tokens, and user names and credentials of TURN servers."""

MAX_ICE_SERVERS: Final = 32
"""Each is asked before a connection is made; also the addresses of one server."""

MAX_ANSWER_BYTES: Final = 1 * MIB
"""What a peer reads of one HTTP answer. The longest, a set of keys, has a few KiB."""

MAX_SDP_BYTES: Final = 64 * 1024
MAX_CANDIDATE_BYTES: Final = 2 * 1024
MAX_PEERS_PER_ROOM: Final = 2000
MAX_ROOMS_PER_ACCOUNT: Final = 100
MAX_HTTP_BODY_BYTES: Final = 64 * 1024

OUTBOX_MESSAGES: Final = 1024
"""Messages of other peers that wait for one peer's socket, of which each sender may hold as many as are still
free: half, if it is the only one. What is beyond is refused with DELIVERY_FAILED. Of the server's own answers
as many may wait; a peer that lets more pile up is closed with 1013."""

OUTBOX_DUE_MESSAGES: Final = 16
OUTBOX_DUE_BYTES: Final = 64 * 1024
"""What each sender may have waiting for one peer however much others have: an offer and its candidates."""

MAX_MESSAGES_PER_SEC: Final = 2000
MESSAGE_BURST: Final = 4000
"""Token bucket for what one connection may send: well above ICE trickling, below a flood."""

MAX_REFUSED_MESSAGES_PER_SEC: Final = 10
REFUSED_MESSAGE_BURST: Final = 100
"""Token bucket for messages over the limit above, each answered by RATE_LIMITED; then comes 4029."""

HEARD_MESSAGES_PER_SEC: Final = 50
HEARD_MESSAGE_BURST: Final = 200
"""Token bucket for what a worker hears from one peer, but for the clients of its jobs; it drops the rest. A
client sends a few dozen for a job, most of them candidates."""

OUTBOX_BYTES: Final = 32 * MIB
"""The same as `OUTBOX_MESSAGES`, for few but large messages: two of the largest lists of peers."""

OUTBOXES_BYTES: Final = 512 * MIB
OUTBOX_SHARE_BYTES: Final = 1 * MIB
"""For all peers' sockets together. Once that waits, nothing more is queued for a peer that has its share:
`OUTBOX_BYTES` for each of hundreds that don't read would be all of a machine's memory."""

WRITE_TIMEOUT_SEC: Final = 30.0
"""Each MiB that waits for a peer's socket must be on its way within this time, else the peer is given up:
closed with 1013 where somebody sends to it still."""

CLOSE_GRACE_SEC: Final = 2.0
"""How long a peer may take to read what precedes the close frame, and to answer it (RFC 6455, 7.1.1)."""

HANDSHAKE_TIMEOUT_SEC: Final = 10.0
"""From an accepted TCP connection to a WebSocket (RFC 6455, section 4)."""

ENDED_ROOM_MEMORY_SEC: Final = 24 * 60 * 60
"""How long a room that ended is answered with ROOM_EXPIRED; after that nobody knows it."""

ROOM_ID_CHARS: Final = 8
ROOM_TOKEN_CHARS: Final = 12
"""59 bits with the alphabet of 31 characters that is used: out of reach for guessing over a network."""

SIGN_INS_PER_SEC: Final = 20
SIGN_IN_BURST: Final = 300
ROOMS_PER_SEC: Final = 1
ROOM_BURST: Final = 300
"""Token buckets for one address: a laboratory behind one router, not a flood."""

HTTP_KEEP_ALIVE_SEC: Final = 6.0
"""How long an HTTP connection may wait for a request. httpx gives a connection up after five seconds, so that
it doesn't send into one that is being closed."""

HTTP_REQUEST_SEC: Final = 15.0
"""From a request's first byte to its answer. A body that takes more than ten seconds is answered with 408."""

HTTP_ANSWER_SEC: Final = 10.0
"""How long a client may take to read an answer."""

MAX_CONNECTIONS_PER_ADDRESS: Final = 10_000
"""At each port, and never more than half of its places. A hall of peers behind one router has hundreds."""

MAX_FRAGMENTS: Final = 1024
"""Frames that one message may come in, so that empty ones don't pile up for ever (RFC 6455, section 5.4)."""

WRONG_TOKENS_PER_SEC: Final = 0.2
WRONG_TOKEN_BURST: Final = 20
"""Token bucket for wrong room tokens of one account: somebody who mistypes, not somebody who guesses."""

WRONG_TOKEN_SITE_BURST: Final = 200
"""The same for all accounts of one address, and for all that try one room: a class that mistypes."""

# --- numbers in job messages ------------------------------------------------------------------

MAX_COUNT: Final = 10**9
"""Frames, epochs that have run, files. A video of a year at 30 frames a second has as many frames."""

MAX_EPOCHS: Final = 100_000
MAX_BATCH_SIZE: Final = 4096
MIN_LEARNING_RATE: Final = 1e-30
MAX_LEARNING_RATE: Final = 1e30
"""What can be asked of a training. A rate that makes a loss infinite ends it with a reason of its own."""

MIN_MEGAPIXELS: Final = 1e-6
MAX_MEGAPIXELS: Final = 1e6
"""One image: a single pixel, and a million by a million."""

MAX_SIZE_MB: Final = 2**40
"""An exbibyte, in MiB."""

MAX_DURATION_SEC: Final = 100 * 366 * 24 * 60 * 60
"""Durations and estimates: a century."""

MAX_UNIX_TIME: Final = 253_402_214_400
"""The end of the year 9999, after which calendars of most programs end, less a day for time zones."""

MAX_SAFE_INTEGER: Final = 2**53 - 1
"""Sequence numbers and places in a file: the most that every JSON reader keeps (RFC 8259, section 6)."""

# --- transfer -------------------------------------------------------------------------------

DATA_CHANNEL_LABEL: Final = "sleap-rtc"
CHUNK_BYTES: Final = 16 * 1024
"""One binary message. RFC 8831, section 6.6, names 16 KiB as what every implementation takes."""

ACK_INTERVAL_BYTES: Final = 1 * MIB
"""A receiver acknowledges what it has written at least every 4 MiB (protocol); we do it more often."""

MAX_UNACKNOWLEDGED_BYTES: Final = 8 * MIB
"""What a sender lets be in flight. Above the 4 MiB that may lie between two acknowledgements."""

MAX_CONTROL_FRAME_BYTES: Final = 16 * 1024

MAX_RESULT_FILES: Final = 64
"""Of one job. Ours have one: a zip file of all models, or the predictions."""

MAX_RESULT_BYTES: Final = 64 * 1024 * MIB
"""All of them together; each must fit on the disk besides. A model has 0.1 to 1 GiB, and a job has a few."""

RATE_PROBE_BYTES: Final = 4 * MIB
"""What goes each way, at most, when a connection is measured: a second of the slower engine."""

RATE_PROBE_SEC: Final = 20.0
"""Life of a connection that is made to be measured, on the worker's side."""
