"""Capture by recording: what a module calls while it runs, written in ONNX.

torch.export traces with stand-ins for tensors, decomposes and translates; here the module just runs, at two batch
sizes, on the inputs that verification needs anyway.
"""

from bnexport.capture.tape.sizes import Unsure
from bnexport.capture.tape.translate import Recorded, capture_tape

__all__ = ["Recorded", "Unsure", "capture_tape"]
