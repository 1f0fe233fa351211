"""The configuration: one file of YAML or JSON becomes frozen settings, or a ConfigError that names line, column and key."""

from wharfinger.config.editor import schema
from wharfinger.config.loading import load, read
from wharfinger.config.page import reference
from wharfinger.config.settings import option

__all__ = ["load", "option", "read", "reference", "schema"]
