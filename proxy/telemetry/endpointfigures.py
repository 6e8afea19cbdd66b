"""The figures of each endpoint, as Prometheus asks for them.

Endpoints without a name of their own are shown together as OTHERS, which no id can be.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.telemetry.endpoints import Endpoints, Usage

OTHERS: Final = "_others"
# Each a field of Usage, and a counter of the same name.
_COUNTERS: Final = {
    "calls": "Calls to the provider of an inference endpoint",
    "errors": "Those of them that failed",
    "characters": "Characters of the texts that were sent",
    "queue_seconds": "Time that calls waited for the rate limit, or for a busy server",
    "provider_seconds": "Time until the last byte of each reply",
    "provider_queue_seconds": "Time in the provider's own queue, where it tells",
    "compute_seconds": "Time at the provider's model, where it tells",
}


class EndpointFigures(Collector):
    """Reads what Endpoints holds, whenever the figures are shown."""

    def __init__(self, endpoints: Endpoints, prefix: str) -> None:
        self._endpoints = endpoints
        self._prefix = prefix

    def collect(self) -> Iterable[Metric]:
        used = self._used()
        counters = dict(_COUNTERS)
        if self._endpoints.has_prices:
            counters["cost"] = "What tokens have cost, by [provider.prices]"
        for name, text in counters.items():
            family = self._counter(name, text)
            for labels, usage in used:
                family.add_metric(labels, getattr(usage, name))
            yield family
        tokens = self._counter("tokens", "Tokens, as the provider counts them", "kind")
        for labels, usage in used:
            tokens.add_metric([*labels, "input"], usage.input_tokens)
            tokens.add_metric([*labels, "output"], usage.output_tokens)
        yield tokens
        yield self._outcomes(used)
        yield self._states()
        yield self._other_models()

    def _used(self) -> list[tuple[list[str], Usage]]:
        """Labels, and what was used."""
        named: list[tuple[list[str], Usage]] = []
        others: defaultdict[str, Usage] = defaultdict(Usage)
        for endpoint in self._endpoints.known():
            if endpoint.has_name:
                named.append(([endpoint.inference_id, endpoint.task], endpoint.usage))
            else:
                others[endpoint.task].add(endpoint.usage)
        for task, usage in self._endpoints.others().items():
            others[task].add(usage)
        return named + [([OTHERS, task], usage) for task, usage in others.items()]

    def _outcomes(self, used: list[tuple[list[str], Usage]]) -> Metric:
        """Those of all endpoints together."""
        counts: Counter[tuple[str, str]] = Counter()
        for (_, task), usage in used:
            counts.update({(task, state): count for state, count in usage.outcomes.items()})
        name, text = f"{self._prefix}_provider_outcomes", "Calls to providers, by what they tell"
        family = CounterMetricFamily(name, text, labels=["task", "state"])
        for labels, count in counts.items():
            family.add_metric(labels, count)
        return family

    def _states(self) -> Metric:
        family = GaugeMetricFamily(
            f"{self._prefix}_endpoint_state",
            "1 for the state of an inference endpoint's provider, as of the last call",
            labels=["endpoint", "task", "state"],
        )
        for endpoint in self._endpoints.known():
            if endpoint.has_name:
                family.add_metric([endpoint.inference_id, endpoint.task, endpoint.state], 1)
        return family

    def _other_models(self) -> Metric:
        family = GaugeMetricFamily(
            f"{self._prefix}_endpoint_other_model",
            "1 for an inference endpoint that has another model than at first",
            labels=["endpoint", "task"],
        )
        for endpoint in self._endpoints.known():
            if endpoint.has_name and endpoint.has_other_model:
                family.add_metric([endpoint.inference_id, endpoint.task], 1)
        return family

    def _counter(self, name: str, text: str, *labels: str) -> CounterMetricFamily:
        names = ["endpoint", "task", *labels]
        return CounterMetricFamily(f"{self._prefix}_endpoint_{name}", text, labels=names)
