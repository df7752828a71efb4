"""bnexport: trained PyTorch models to ONNX and TensorRT, with BatchNorm folded and agreement proved."""

__version__ = "0.1.0"
