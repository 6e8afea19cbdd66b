"""Calls to providers: Hugging Face endpoints and servers that speak like them.

Where to look:

    client      a method for each task, by which everybody comes in

    What goes into a call
    embeddingcache, embeddingtier, embeddingfile
                embeddings that are kept: in memory; in a file, and that file itself
    batching    the texts of a request, cut and grouped
    batchsender those groups, sent a few at once, and again in parts where they are too large
    coalescing, sharedcalls
                texts of several requests in one call, and what their callers share meanwhile
    requests    the bodies of calls

    When it leaves, and how often
    sender      calls in their turn, tried again where that may help
    ratelimit, sharedlimits
                an endpoint's rate limit: of one process; of all that share a store
    leases, lifesigns
                the note by which these share it, and whether one of them has ended
    retry       how often, and after what wait
    waking      servers that are still starting
    servers     what is known of each server; beside it
    places, sizes, info, knownmodels
                how many calls it takes at once, how much in one, what it says about itself, which
                prefixes its model expects

    The call
    calls       one HTTP call, and what became of it
    posting, session
                how it is sent, over which connections
    egress      where it may go

    The reply
    reading     what its values cost, before they are read
    replies, chatreplies, replyjson
                results out of it: of all tasks, of chats; and its JSON
    streams, streamerrors
                the same of a reply that comes as events

    What a failure means
    failures    in Elasticsearch's words
    states, hints, shapes
                in the proxy's: a state, what to do about it, and what an odd reply looks like
    redaction, spellings
                the token, taken out of what a provider says
    failurelog, observing, usage
                what the log and the figures tell
"""
