"""DeployStack: a self-hosted push-to-preview platform."""

__version__ = "0.1.0"
