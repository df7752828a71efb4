"""The keys under which the nodes of a graph say where they come from."""

__all__ = ["CLASSES", "KIND", "MODULE", "ORIGIN", "SCOPES"]

MODULE = "bnexport.module"
KIND = "bnexport.class"
ORIGIN = "bnexport.origin"  # of a BatchNormalization, while it is rewritten
SCOPES = "pkg.torch.onnx.name_scopes"
CLASSES = "pkg.torch.onnx.class_hierarchy"
