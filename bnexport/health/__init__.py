"""The examine station: what a checkpoint holds, and whether it can be exported truthfully."""

from bnexport.health.examine import UnhealthyModel, examine
from bnexport.health.facts import BatchNormFacts, LayerFacts, batch_norms, layers

__all__ = ["BatchNormFacts", "LayerFacts", "UnhealthyModel", "batch_norms", "examine", "layers"]
