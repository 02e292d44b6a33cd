"""Workflows: what is written as data, checked, kept in versions, and started."""
