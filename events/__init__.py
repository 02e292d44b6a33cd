"""How it travels: the bus, its streams, publishing, consuming, reading back, dead letters, effects once.

The only package that knows NATS and FastStream.
"""
