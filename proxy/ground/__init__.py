"""What every room may use, and which uses no room: errors, what may be shown, small tools.

Where to look:

    Errors
    errors      every error a caller can see; and what these hold:
    causes      Java's exceptions inside them
    advice      what the proxy adds to a provider's error
    quoting     how much of a text that somebody has sent
    largeanswers
                the one for an answer of Elasticsearch that is too large to be read
    lateness    what a request waits for, as the error says whose time is up
    tlsfailures why TLS fails
    masking     what a text may show that can contain a token
    frames      letting go of the bodies that errors hold

    A request
    interception
                which targets are ours
    authorization
                credential headers, and what their caller may do
    crossorigin what its origin means for its answer
    freshness   whether it asks past what is remembered

    Connections
    sessions    limits of all sessions and servers of aiohttp, and fresh connections for idle ones
    keeping     idle ones, kept for as long as their server is seen to keep one
    exchanges   requests over the connections of a session, without what that does around each
    sse         event streams, both ways

    Tools
    singleflight
                one call for many who ask
    remembering what short texts mean, worked out once
    background  what nobody waits for
    steps       what can wait, done a little in each turn of the event loop
    scopes      contexts in which a context variable has a value
    epoch       by which workers learn that another one has changed something
    sqlitelog   SQLite's write-ahead log
"""
