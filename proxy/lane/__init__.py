"""The lane: the forwarding path, one small protocol per connection, bytes in and bytes out.

A caller's connection (`CallerSide`) is in one of five states:

    HEAD    a request head is awaited, or a part of it has come
    BODY    the head has gone on, its body is being passed on
    ANSWER  the whole request has gone on, its answer is awaited or being passed back
    REST    the answer came before the body ended: what is left of the body is dropped
    LINGER  our last byte has been written; what still comes is dropped until the caller closes

    HEAD ─→ BODY ─→ ANSWER ─→ HEAD …     a request without a body skips BODY
      │       ├─→ REST ─┼───→ HEAD …
      └───────┴─────────┴───→ LINGER     refused, or asked to close

A connection to whoever answers (`UpstreamSide`) is in one of four states, too:

    CONNECTING  what is to be sent waits
    HEAD        a request is under way, the head of its answer is awaited
    BODY        the body of the answer is being passed back
    IDLE        in the pool, nobody's

The application behind the lane is one more upstream: its pool makes socket pairs, gives one end to
aiohttp's server and drives the other exactly like a connection to Elasticsearch.

Three rules keep it honest. A side whose peer takes no more bytes stops reading its own: nothing is
held but one read and one write buffer. A side that is lost amid a message aborts its peer, with a
reset, so that half a message never looks whole. And what is decided, and how messages are framed,
stands in `proxy.http1`; here bytes are moved.

The sides are in `caller` and `upstream`, the connections to choose from in `pool`; what listens and
looks after them all is in `listener`.
"""

from __future__ import annotations

from proxy.lane.listener import Lane
from proxy.lane.states import Patience

__all__ = ["Lane", "Patience"]
