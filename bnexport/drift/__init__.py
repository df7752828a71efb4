"""Whether the data that a model sees is what its running statistics say: measured, tested, watched in production."""

from bnexport.drift.judge import Drift, LayerDrift, judge
from bnexport.drift.measure import drift
from bnexport.drift.monitor import DriftMonitor
from bnexport.drift.state import DriftState, merge
from bnexport.drift.tap_monitor import TapMonitor

__all__ = [
    "Drift",
    "DriftMonitor",
    "DriftState",
    "LayerDrift",
    "TapMonitor",
    "drift",
    "judge",
    "merge",
]
