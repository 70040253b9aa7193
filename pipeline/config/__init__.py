"""The configuration: command line > environment > `.env` > proxy.toml > defaults, all faults in one error."""

from pipeline.config.environment import ENVIRONMENT
from pipeline.config.faults import ConfigError, Fault
from pipeline.config.layers import Sources
from pipeline.config.resolve import load, resolve
from pipeline.config.settings import Config, ServerSettings, effective
from pipeline.config.vendors import VENDORS, Vendor

__all__ = [
    "ENVIRONMENT",
    "VENDORS",
    "Config",
    "ConfigError",
    "Fault",
    "ServerSettings",
    "Sources",
    "Vendor",
    "effective",
    "load",
    "resolve",
]
