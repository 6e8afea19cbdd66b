"""The actions that a caller must be allowed, by Elasticsearch's names."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class InferenceAction(StrEnum):
    """An action for each kind of request. Source: the *Action classes of x-pack-core."""

    PUT = "cluster:admin/xpack/inference/put"
    UPDATE = "cluster:admin/xpack/inference/update"
    DELETE = "cluster:admin/xpack/inference/delete"
    GET = "cluster:monitor/xpack/inference/get"
    POST = "cluster:monitor/xpack/inference/post"
    SERVICES = "cluster:monitor/xpack/inference/services/get"
    DIAGNOSTICS = "cluster:monitor/xpack/inference/diagnostics/get"

    @property
    def indices(self) -> Sequence[Sequence[str]]:
        """None: endpoints belong to the cluster."""
        return ()

    @property
    def granted_by(self) -> Sequence[str]:
        """The cluster privileges that grant the action. Source: ClusterPrivilegeResolver."""
        if self.startswith("cluster:monitor/"):
            return "monitor_inference", "manage_inference", "monitor", "manage", "all"
        return "manage_inference", "manage", "all"
