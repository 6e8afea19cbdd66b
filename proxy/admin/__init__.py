"""For whoever operates the proxy: health and figures, on a port of their own."""

from __future__ import annotations

from proxy.admin.application import admin_application
from proxy.admin.health import Check, Health
from proxy.admin.listener import admin_listening, admin_ports

__all__ = ["Check", "Health", "admin_application", "admin_listening", "admin_ports"]
