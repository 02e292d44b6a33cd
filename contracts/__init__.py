"""What is said: facts, saga definitions and the typed inputs and outputs of every domain.

Pydantic values only. Nothing in this package reads a clock, a file or a network, so any process,
in any language that reads the exported JSON Schemas, can hold the same contract.
"""
