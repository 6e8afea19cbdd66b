"""The Elasticsearch behind the proxy: its nodes, how they are asked, what they say of callers.

Where to look:

    Nodes, and the way to them
    nodes       which there are, and which are worth asking
    session     the application's one aiohttp session
    tls, pinning, certificateuser
                TLS towards them: files, a certificate known by its fingerprint, and whether
                Elasticsearch takes the proxy's own certificate for a user

    Requests that the application hands on
    forward     the way there and back, as the lane's, by aiohttp
    heads, upload, passingback
                a request's head, its body, and the answer's way to the caller
    hooks       where aiohttp's server has to behave like a proxy

    What callers may do
    privileges  whether one may do something
    security, subjects
                what is asked about that, and what answers and refusals mean
    grants      what was allowed in the last seconds
    origins     what the CORS settings allow pages of other origins

    What the proxy asks for itself
    asking      questions of the semantic layer, as a caller or as the proxy
    rights      privileges that the proxy's own credentials need
    version, feature
                which release it is, and whether it has inference of its own
"""
