"""The HTTP API: status queries over the saga log, and the few facts that people state through it."""
