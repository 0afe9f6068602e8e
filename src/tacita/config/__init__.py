"""Settings, and `build`: the only reader of environment and config files, the only place that names providers."""

from tacita.config.egress import egress
from tacita.config.parts import Parts, build, open_telemetry, self_test
from tacita.config.settings import Settings

__all__ = ["Parts", "Settings", "build", "egress", "open_telemetry", "self_test"]
