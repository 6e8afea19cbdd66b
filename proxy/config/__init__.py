"""The configuration: its keys with their defaults and texts, read from a file and the environment.

A key `section.name` is the variable `HFPROXY_SECTION_NAME`. The environment wins over the file, and
command-line flags win over both. An unknown key is an error.
"""

from __future__ import annotations

from proxy.config.addresses import is_any, is_own
from proxy.config.caching import CacheConfig
from proxy.config.checking import ConfigError, split_address
from proxy.config.credentials import kind_of
from proxy.config.describing import describe
from proxy.config.environment import ALIASES
from proxy.config.keys import PREFIX
from proxy.config.prices import NO_PRICES, Prices
from proxy.config.providing import ProviderConfig
from proxy.config.reading import Settings, load_config, load_settings
from proxy.config.secretfiles import (
    private_key_file,
    read_secret,
    readable_by_all,
    refuse_other_writers,
)
from proxy.config.values import (
    DEFAULT_ADMIN,
    KEYS,
    MAX_NESTING,
    AdminConfig,
    Config,
    EgressConfig,
    LimitsConfig,
    LogConfig,
    SemanticConfig,
    StoreConfig,
    TlsConfig,
    UpstreamConfig,
    state_folder,
)

__all__ = [
    "ALIASES",
    "DEFAULT_ADMIN",
    "KEYS",
    "MAX_NESTING",
    "NO_PRICES",
    "PREFIX",
    "AdminConfig",
    "CacheConfig",
    "Config",
    "ConfigError",
    "EgressConfig",
    "LimitsConfig",
    "LogConfig",
    "Prices",
    "ProviderConfig",
    "SemanticConfig",
    "Settings",
    "StoreConfig",
    "TlsConfig",
    "UpstreamConfig",
    "describe",
    "is_any",
    "is_own",
    "kind_of",
    "load_config",
    "load_settings",
    "private_key_file",
    "read_secret",
    "readable_by_all",
    "refuse_other_writers",
    "split_address",
    "state_folder",
]
