"""Redriving: an ended saga that failed is run again from a step, as a new saga that is linked to it."""
