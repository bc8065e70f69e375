"""Recommendations from a language model: a history goes in, a ranking comes out."""

__version__ = "0.1.0"
