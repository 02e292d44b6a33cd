"""Triggers: what starts workflows by itself, or when somebody asks."""
