"""The native work on graphs: in the worker where there is one, else here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bnexport.isolation.raised import StepError
from bnexport.isolation.scope import current
from bnexport.isolation.worker import Step

__all__ = [
    "check",
    "check_here",
    "infer_here",
    "infer_shapes",
    "simplify",
    "simplify_here",
]


def simplify(model: bytes, skipped: Sequence[str]) -> bytes | str:
    """What onnxsim makes of a serialised model; or, as text, why it left it as it is.

    Raises:
        NativeFailure: It brought the worker down.
    """
    scope = current()
    if scope is None:
        try:
            return simplify_here(model, skipped)
        except (RuntimeError, ValueError) as error:  # what its native code raises; it is optional
            return str(error)
    remedy = "--no-simplify leaves it out"
    step = Step("simplify", "onnxsim", remedy, {"model.onnx": model})
    try:
        answer = scope.worker().call(step, {"skipped": list(skipped)}, [model])
    except StepError as error:
        return str(error)
    return bytes(answer.blobs[0])


def simplify_here(model: bytes, skipped: Sequence[str]) -> bytes:
    """Run onnxsim in this process.

    Raises:
        RuntimeError: It does not take the model.
        ValueError: The same.
    """
    import inspect

    import onnx
    import onnxsim

    options: dict[str, Any] = {"skip_fuse_bn": True, "skipped_optimizers": list(skipped)}
    if "initializers_as_constants" in inspect.signature(onnxsim.simplify).parameters:
        options["initializers_as_constants"] = False  # else it moves x * c into a Conv, wrongly
    proto, _ = onnxsim.simplify(onnx.load_model_from_string(model), **options)
    made: bytes = proto.SerializeToString()
    return made


def check(model: bytes) -> str:
    """Why a serialised model is not valid ONNX, shapes included; empty where it is.

    Raises:
        NativeFailure: The checker brought the worker down.
    """
    scope = current()
    if scope is None or not scope.foreign:
        return check_here(model)
    step = Step("check", "the ONNX checker", "", {"model.onnx": model})
    return str(scope.worker().call(step, {}, [model]).head["invalid"])


def check_here(model: bytes) -> str:
    """Run the checker in this process."""
    import onnx
    import onnx.checker
    import onnx.shape_inference

    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        return str(error).strip() or type(error).__name__
    return ""


def infer_shapes(model: bytes) -> bytes:
    """The serialised model with the shapes that can be inferred.

    Raises:
        NativeFailure: It brought the worker down.
        StepError: The library refuses the model, in the worker.
        Exception: The same, here.
    """
    scope = current()
    if scope is None or not scope.foreign:
        return infer_here(model)
    step = Step("infer", "ONNX shape inference", "", {"model.onnx": model})
    return bytes(scope.worker().call(step, {}, [model]).blobs[0])


def infer_here(model: bytes) -> bytes:
    """Infer in this process."""
    import onnx
    import onnx.shape_inference

    inferred = onnx.shape_inference.infer_shapes(
        onnx.load_model_from_string(model), check_type=False, strict_mode=False, data_prop=True
    )
    made: bytes = inferred.SerializeToString()
    return made
