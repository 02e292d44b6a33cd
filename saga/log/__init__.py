"""The saga log: a projection of all facts that can be asked. Nothing waits for it; it can be rebuilt."""
