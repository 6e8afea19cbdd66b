"""The `_inference` API: from aiohttp's request to the handler, and back to a response.

Where to look:

    server      aiohttp's server, behind the lane
    dispatcher  the checks before a handler, in Elasticsearch's order
    routes, paths
                which handler a request has, and which endpoint its path names
    asked       what the head of a request says, kept for the next one that has the same
    bodies      the body, read within the limits
    call        all that a handler needs to know of its request
    handlers    a function for each route
    order       whether the body or the endpoint is looked at first
    answers     documents and errors, as aiohttp's responses
    streaming, heartbeats
                streams of events, and comments while there are none
    warnings    `Warning` headers
    counting, changes
                figures and log lines
    keys        what is noted on a request
    ports       what is needed of the upstream
"""
