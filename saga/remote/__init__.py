"""The HTTP API from Python: `saga.remote.client`."""
