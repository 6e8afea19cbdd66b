"""The lane: the forwarding path, one small protocol for each connection, bytes in and bytes out.

A caller's connection (`CallerSide`) is in one of five states:

    HEAD    a request head is awaited, or a part of one has come
    BODY    the head has gone upstream, and the body follows as it comes
    ANSWER  the whole request has gone upstream; its answer is awaited, or being passed back
    REST    the answer ended before the body did: the rest of the body is read and dropped
    LINGER  our last byte is written; what still comes is dropped until the caller closes

    HEAD ──→ BODY ──→ ANSWER ──→ HEAD …    a request without a body skips BODY
      │        ├→ REST ─┼──────→ HEAD …
      └────────┴────────┴──────→ LINGER    refused, or the connection is not to be kept

The connection that serves it (`UpstreamSide`) is in one of four:

    CONNECTING  there is no connection yet: what is to be sent waits
    ASKED       a request goes out, and the head of its answer is awaited
    ANSWERING   the body of the answer is being passed back
    IDLE        it serves nobody, and lies in its pool

    CONNECTING ──→ ASKED ──→ ANSWERING ──→ IDLE ──→ ASKED …

A complete answer that needs no parsing leads from ASKED to IDLE at once. The connection may be lost
in every state; what becomes of its caller then stands in `UpstreamSide.connection_lost`.

The application is one more upstream. Its pool makes pipes, gives one end to aiohttp's server and
drives the other exactly like a connection to Elasticsearch.

Every listener of the proxy is a lane; one that forwards nothing has the application alone.

Three rules hold throughout. A side whose peer takes no more bytes stops reading its own, so that
nothing is held but one read and one write buffer. A side that is lost during a message resets its
peer, so that half a message never looks complete. And all that is known about messages stands in
`proxy.http1`: here bytes are moved.

Where to look:

    listener    accepts callers, sweeps for deadlines that have passed, drains
    handshakes  callers who speak TLS, until they have shaken hands
    held        how much memory all connections together may take
    connection, answering, caller
                a caller's connection: its flow and its end, its answers, its requests; each is a
                class on top of the one before
    expiry      what follows when a caller's deadline has passed
    upstream    a connection to whoever answers
    pool        which connection, and which node, is taken
    connecting  how connections are made
    pipes       connections within the process
    sides       what each of these may touch of the others
    states      the states above, and how long they may last
"""

from __future__ import annotations

from proxy.lane.listener import Lane
from proxy.lane.states import Patience

__all__ = ["Lane", "Patience"]
