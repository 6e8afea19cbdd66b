"""What callers must be allowed for each kind of request, in Elasticsearch's own names."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class InferenceAction(StrEnum):
    """The action behind each kind of request; one for each that Elasticsearch tells apart."""

    PUT = "cluster:admin/xpack/inference/put"
    UPDATE = "cluster:admin/xpack/inference/update"
    DELETE = "cluster:admin/xpack/inference/delete"
    GET = "cluster:monitor/xpack/inference/get"
    POST = "cluster:monitor/xpack/inference/post"
    SERVICES = "cluster:monitor/xpack/inference/services/get"
    DIAGNOSTICS = "cluster:monitor/xpack/inference/diagnostics/get"

    @property
    def granted_by(self) -> Sequence[str]:
        """The cluster privileges that grant it. Source: ClusterPrivilegeResolver."""
        if self.startswith("cluster:monitor/"):
            return "monitor_inference", "manage_inference", "monitor", "manage", "all"
        return "manage_inference", "manage", "all"
