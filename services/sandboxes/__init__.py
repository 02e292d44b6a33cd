"""The outside world, over real HTTP, for demos and tests."""
