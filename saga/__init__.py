"""Choreography: who answers what. The pure core, the participant that drives it, the log that tells of it."""
