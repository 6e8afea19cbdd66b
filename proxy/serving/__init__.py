"""One process that serves: it accepts connections, reports, drains and stops."""

from __future__ import annotations

from proxy.serving.process import serve

__all__ = ["serve"]
