"""Settings of how providers are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.config.keys import setting
from proxy.config.prefixes import NO_PREFIXES, Prefixes

MODEL_GUARDS: Final = ("warn", "refuse")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderConfig:
    """How providers, the Hugging Face endpoints, are called."""

    timeout: float = setting(
        30.0, "Time for a whole answer, where the request has no `timeout`", unit="seconds"
    )
    stream_idle_timeout: float = setting(
        120.0, "Time between two pieces of a streamed answer", unit="seconds"
    )
    stream_heartbeat: float = setting(
        0.0,
        "Time without an event until a stream gets a comment, as a sign of life; 0 is never",
        "For load balancers that close silent connections while a model thinks. Parsers of event "
        "streams skip comments; Elasticsearch sends none.",
        unit="seconds",
        may_be_zero=True,
    )
    max_response_bytes: int = setting(
        50 * 1024 * 1024,
        "Size of a reply; a longer one is refused",
        "Elasticsearch's xpack.inference.http.max_response_size.",
        unit="bytes",
    )
    max_batch_inputs: int = setting(
        32,
        "Inputs of one call",
        "More, or more than 1.9 MB of them, are sent as several calls and put together again. 32 "
        "inputs and 2 MB are what text-embeddings-inference takes by default. A server that takes "
        "less, as it says or as its refusals show, gets less; none gets more.",
    )
    prefixes: Prefixes = setting(
        NO_PREFIXES,
        "What texts begin with by `input_type`, for endpoints by inference id or pattern",
        'For instance {"e5-*": {"search": "query: ", "ingest": "passage: "}}. Such an endpoint '
        "takes these values of `input_type`; without it, texts stay as they are. Semantic fields "
        "are filled as `ingest` and searched as `search`. What was embedded before has to be "
        "embedded anew.",
    )
    server_info: bool = setting(
        True,
        "Whether servers of embedding and rerank models are asked at `/info` what they take",
        "Text-embeddings-inference answers there. It is asked once it has answered a caller, and "
        "then every quarter of an hour; callers never wait for it, and other servers lack nothing.",
    )
    concurrency: int = setting(
        4,
        "Calls that one request may have under way at once",
        "With `provider.coalescing`, it is the calls of one endpoint that embed texts; those that "
        "have gone unanswered for three seconds do not count. A server that refuses calls for its "
        "load (429, 503, 424, 529) gets half as many, from all requests together, then one more "
        "for each round that it answers; as many as it refused are tried again only after twenty "
        "rounds. Requests that wait for it take turns. Calls that take four times the usual time, "
        "and at least three seconds, do not count.",
    )
    coalescing: bool = setting(
        False,
        "Whether texts that wait for an endpoint are sent together, those of several requests too",
        "Equal ones are sent once. If that call has gone unanswered for three seconds, they are "
        "sent again for those who come later. Elasticsearch makes a call for each request; this "
        "is faster where many ask at once, and spares the rate limit.",
    )
    cold_start_wait: float = setting(
        0.0,
        "Time to wait for a provider that starts, within the request's `timeout`; 0 does not wait",
        "For Inference Endpoints that are scaled to zero, and servers that load their model or do "
        "not listen yet. One request at a time looks whether it has started. An endpoint whose "
        "server says that it starts can be created meanwhile: it is tried out by its first use. "
        "Requests need a `timeout` as long as a start takes.",
        unit="seconds",
        may_be_zero=True,
    )
    keep_warm: float = setting(
        0.0,
        "Time after which an endpoint that nobody calls any more is called by the proxy; 0: never",
        "So it is not scaled to zero, and costs what it costs to run it. It holds for endpoints of "
        "embedding and rerank models, from their first use in each process on.",
        unit="seconds",
        may_be_zero=True,
    )
    model_guard: str | None = setting(
        None,
        "What happens when an endpoint has another model than at first: `warn`, or `refuse` it",
        "Vectors of two models cannot be compared: what an index that holds both finds is chance. "
        "The vector of a short text is kept with each text_embedding endpoint, and compared again "
        "after the interval, after its server was away, or has not been called for a minute, and "
        "when it names another model.",
        absent="models are not compared",
    )
    model_guard_interval: float = setting(
        3600.0, "Time after which the model of an endpoint in use is compared again", unit="seconds"
    )
    model_guard_distance: float = setting(
        0.01,
        "Cosine distance up to which two vectors of that text count as the same model's",
        "Other hardware or number formats make less than 0.001, another model about 1.",
    )
    queue_capacity: int = setting(
        2000,
        "Requests that may wait for the rate limit of one endpoint; further ones get a 429",
        may_be_zero=True,
    )
    prices: tuple[str, ...] = setting(
        (),
        "Prices of a million tokens, by inference id: `ID=PRICE`, or `ID=INPUT/OUTPUT`",
        'For instance ["my-chat=0.15/0.60", "*=0.02"]; the first that fits counts, in any '
        "currency. The admin port and the figures then show what tokens have cost.",
    )
    shared_rate_limits: bool = setting(
        False,
        "Whether rate limits hold for all proxies and workers of a store together",
        "Otherwise they hold for each process. While the store cannot be used, each has its part.",
    )
    retry_initial_delay: float = setting(
        1.0,
        "First wait before a call is repeated",
        "Elasticsearch's xpack.inference.http.retry.initial_delay. Each further wait is twice as "
        "long, and the third attempt is the last.",
        unit="seconds",
        may_be_zero=True,
    )
    retry_max_delay: float = setting(
        5.0,
        "Longest wait before a call is repeated",
        "Elasticsearch's xpack.inference.http.retry.max_delay_bound.",
        unit="seconds",
        may_be_zero=True,
    )
