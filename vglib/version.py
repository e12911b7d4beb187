"""The one place that holds the version: pyproject reads it, results store it."""

__version__ = "0.1.0"
