"""Conversions that were made before, kept by what they were made of: a folder that one build job hands on to the next.

A conversion is known by the bytes of the model, the code behind it, the options and the versions of all that is
installed. Nothing here imports torch.
"""

from bnexport.cache.store import ConversionStore

__all__ = ["ConversionStore"]
