"""Endpoints in a hidden index of the upstream: the store that any number of proxies can share.

Works with Elasticsearch 7.17, 8 and 9. Importing its client takes longer than all the rest of a
start, so this package is imported only where its store is configured.
"""

from proxy.store.elasticsearch.store import ElasticsearchStore

__all__ = ["ElasticsearchStore"]
