"""What bnexport's source does not say: to the type checker every object of TensorRT is ``Any``."""

from __future__ import annotations

__all__ = ["CLASSES", "MODULE", "PLAIN", "SPELLED"]

# The bindings themselves, as the owner of a name.
MODULE = "module"

# The class of a variable, parameter or attribute, by its name. It counts where nothing better is
# known: not where the annotation is another than Any, nor where the bindings tell what a call returns.
CLASSES = {
    "builder": "Builder",
    "cache": "ITimingCache",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "engine": "ICudaEngine",
    "error": "ParserError",
    "inspector": "EngineInspector",
    "layer": "ILayer",
    "module": MODULE,
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "plan": "IHostMemory",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "severity": "ILogger.Severity",
    "tensor": "ITensor",
}

# Names that are Any to the type checker, or come out of a generic function, and are not TensorRT's.
PLAIN = frozenset({"info"})

# Constants that spell members of an enumeration as text. Releases may lack some, none may lack all.
SPELLED = {"_DTYPES": "DataType", "_NARROWEST_FIRST": "DataType"}
