"""The domain, without I/O: endpoints, requests and results, and what can be done with them.

Where to look:

    service     the use cases
    ports       what they need: a store, a provider
    endpoints   endpoints as values

    What callers send
    settings, updates, fields
                the settings of a new endpoint, those that change, how they are taken from a map
    chunking, urls, ids, tasktypes, inputtypes
                values in these, each with its rules
    requests, chat, reasoning
                the body of an inference, of a chat, and what of that is about reasoning

    What they get
    results, streaming
                of an inference: in one piece, or as events
    rendering, catalogue
                an endpoint, and the service itself

    How endpoints are looked after
    trial       a call before one is stored
    maintained  stands before the provider, and tells the following of each call
    dimensions  the size of vectors that a trial could not find out
    warmth      calls that keep models from going to sleep
    guard, fingerprints
                whether a model is still the same, and how that can be told
    departed    endpoints that other processes have deleted
    embedding   endpoints for the semantic layer, which sends no requests to the API

    What several of these need
    releases    what differs between releases of Elasticsearch
    within      the time that a call may take
    actions     what callers must be allowed
    dumping     endpoints as a store keeps them
"""
