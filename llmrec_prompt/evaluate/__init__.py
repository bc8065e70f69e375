"""Metrics, statistics and protocols that say how good a ranking is."""
