"""Users and roles of the secured Elasticsearch."""

from __future__ import annotations

import base64
from typing import Final

# Name to (password, role). `proxy` is the proxy's own user, with only what its store needs.
USERS: Final = {
    "admin": ("admin-password", "superuser"),
    "manager": ("manager-password", "inference_manager"),
    "monitor": ("monitor-password", "inference_monitor"),
    "nobody": ("nobody-password", "nothing"),
    "proxy": ("proxy-password", "proxy_store"),
}
ROLES: Final = """\
inference_manager:
  cluster: [manage_inference]
inference_monitor:
  cluster: [monitor_inference]
nothing:
  indices:
    - names: [somewhere-else]
      privileges: [read]
proxy_store:
  indices:
    - names: ["hugging-face-inference-endpoints*"]
      privileges: [all]
"""


def basic(name: str) -> str:
    """The Authorization header of a user."""
    pair = f"{name}:{USERS[name][0]}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def store_credentials() -> dict[str, str]:
    """The environment of a proxy that stores its endpoints in the secured Elasticsearch."""
    return {"HFPROXY_UPSTREAM_USERNAME": "proxy", "HFPROXY_UPSTREAM_PASSWORD": USERS["proxy"][0]}
