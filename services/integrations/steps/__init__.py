"""One module a step: what it does and how it is undone, side by side."""
