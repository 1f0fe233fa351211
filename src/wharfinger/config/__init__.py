"""The configuration: one file of YAML or JSON becomes frozen settings, or a ConfigError that names line, column and key."""
