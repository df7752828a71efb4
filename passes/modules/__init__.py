"""Module passes: functions from `nn.Module` to `nn.Module` that leave the caller's as it was."""

from bnexport.passes.modules.copying import copy_module
from bnexport.passes.modules.evaluation import eval_mode, random_state, undisturbed
from bnexport.passes.modules.sync_batchnorm import is_synchronised, revert_sync_batchnorm
from bnexport.passes.modules.twins import ActivatedBatchNorm, BatchNorm
from bnexport.passes.modules.unwrapping import is_wrapper, unwrap

__all__ = [
    "ActivatedBatchNorm",
    "BatchNorm",
    "copy_module",
    "eval_mode",
    "is_synchronised",
    "is_wrapper",
    "random_state",
    "revert_sync_batchnorm",
    "undisturbed",
    "unwrap",
]
