"""Definitions for other engines."""
