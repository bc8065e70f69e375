"""Rows in, report out: arrays of numbers, one sheet an exam, then JSON, Markdown and one HTML page of it."""
