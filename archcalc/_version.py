"""The one place where the version stands, and the project's address."""

__version__ = "0.1.0"

ADDRESS = "https://github.com/archcalc/archcalc"
