"""Graph passes: ``ir.Model -> ir.Model``, each valid in, valid out."""

import onnx_ir as ir
import onnx_ir.passes.common as common

from bnexport.passes.graphs.fold_batch_norm import Fate, FoldBatchNorm

def rewrite(model):
    from onnxscript import optimizer
    optimizer.fold_constants(model, onnx_shape_inference=True, input_size_limit=1<<30, output_size_limit=1<<30)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    fates=[]
    FoldBatchNorm(fates.append)(model)
    common.RemoveUnusedNodesPass()(model)
    return model, fates
