"""Whether every name that bnexport uses of TensorRT is there, release by release, without a GPU.

The names are read out of bnexport's source (`uses`), the releases' names out of their real bindings
(`bindings`, `dump`); `compare` holds one against the other. ``make surface`` runs it. What the source
does not say of itself, the class of each variable, stands in `declared`.
"""
