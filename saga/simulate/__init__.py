"""The model check: the pure core under every order, crash, duplicate and abort, without any I/O."""

from saga.simulate.explore import SimulationReport, Violation, Walked, simulate, walk
from saga.simulate.faults import HARDEST, Faults, Shell

__all__ = ["HARDEST", "Faults", "Shell", "SimulationReport", "Violation", "Walked", "simulate", "walk"]
