"""The version of the package, alone in a module so that nothing else is imported to read it."""

__version__ = "0.1.0"
