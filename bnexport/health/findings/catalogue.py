"""The findings by code: how grave each is, what it does to the user and how it is mended.

docs/findings.md has the arithmetic of each. Codes are for scripts: one is never given another meaning.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnexport.health.findings.finding import Finding

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True)
class Rule:
    """What findings of one code have in common.

    Attributes:
        code: The code.
        title: What it is, in a few words.
        severity: Of most; a finding may be graver or milder.
        effect: What it does to the user.
        remedy: What to do.
    """

    code: str
    title: str
    severity: str
    effect: str
    remedy: str

    def at(self, layer: str, what: str, *, severity: str = "") -> Finding:
        """The finding at one layer."""
        grave = severity or self.severity
        return Finding(self.code, grave, layer, what, self.effect, self.remedy)


_ALL = (
    Rule(
        "BNX101",
        "train mode",
        "warning",
        "Each output depends on the rest of its batch, a batch of 1 gives zeros, NaN or an error, and every call moves "
        "the statistics",
        "Call model.eval() before serving and before saving the whole module; convert does it on a copy",
    ),
    Rule(
        "BNX102",
        "train mode in a part",
        "error",
        "These layers normalise by the batch while the rest serves: each output depends on its batch",
        "Call model.eval() on the whole model, after whatever calls train() on a part",
    ),
    Rule(
        "BNX103",
        "dropout is live",
        "error",
        "The same input gives another output each time",
        "Call model.eval() on the whole model; set training=self.training where the forward calls dropout",
    ),
    Rule(
        "BNX104",
        "no running statistics",
        "error",
        "It normalises by the batch in eval mode too: no file can stand for it, and a batch of 1 is undefined",
        "Set track_running_stats=True and run training data through it (bnexport recalibrate), or train with GroupNorm",
    ),
    Rule(
        "BNX105",
        "statistics never updated",
        "error",
        "It normalises by mean 0 and variance 1, whatever its inputs are: activations drift from layer to layer",
        "Load the checkpoint's buffers (strict=True), or estimate them: bnexport recalibrate",
    ),
    Rule(
        "BNX106",
        "counter at zero beside real statistics",
        "note",
        "Harmless while it serves. Statistics came from another framework or were copied; with momentum=None the next "
        "training step would replace them",
        "Nothing, or set num_batches_tracked before training on",
    ),
    Rule(
        "BNX107",
        "NaN or Inf",
        "error",
        "Every output behind this layer is NaN or Inf",
        "Take a checkpoint from before the training diverged, or reset the statistics and bnexport recalibrate",
    ),
    Rule(
        "BNX108",
        "negative variance",
        "error",
        "No data has it. The root is NaN, or, where eps hides it, a far too large scale",
        "Take an earlier checkpoint, or bnexport recalibrate; look for averaging or quantising of checkpoints",
    ),
    Rule(
        "BNX109",
        "vanishing variance",
        "warning",
        "The channel was constant in training: eps alone sets the scale, so that noise the training never saw is "
        "multiplied by hundreds",
        "Prune the channel, or train it on; where its gamma is zero too, nothing needs doing",
    ),
    Rule(
        "BNX110",
        "dead channels",
        "note",
        "The channels put out a constant: work is done for nothing",
        "Prune them",
    ),
    Rule(
        "BNX111",
        "scale beyond float16",
        "warning",
        "Once folded, the weights or the bias are Inf in float16",
        "Convert with --precision mixed, which keeps this layer in float32",
    ),
    Rule(
        "BNX112",
        "eps vanishes in float16",
        "warning",
        "In float16 eps is 0: a channel of variance 0 divides by zero",
        "Set eps to 1e-5 or more before training; folded files do not contain it",
    ),
    Rule(
        "BNX113",
        "half-precision BatchNorm",
        "warning",
        "Updates of the statistics below half an ulp are lost, and variances beyond 65504 are Inf",
        "Keep BatchNorms in float32: model.half(), then bn.float() for each; autocast does so by itself",
    ),
    Rule(
        "BNX114",
        "momentum",
        "warning",
        "The running statistics are not the average that training wants",
        "PyTorch's momentum is the weight of the new batch: 0.1 is usual, and Keras's 0.99 is 0.01",
    ),
    Rule(
        "BNX115",
        "frozen beside live",
        "warning",
        "In training some layers normalise by their statistics and others by the batch; what one learns the other "
        "does not see",
        "Freeze all of them (bnexport.freeze_batch_norm) or none, unless that is what was meant",
    ),
    Rule(
        "BNX116",
        "synchronised or in-place BatchNorm",
        "note",
        "It needs its process group, its package or a GPU where it was made",
        "Nothing: convert puts a plain BatchNorm in its place (bnexport.revert_sync_batchnorm)",
    ),
    Rule(
        "BNX117",
        "BatchNorm behind an activation",
        "note",
        "It folds forward, where the next layer takes it; its shift does not go into a convolution that pads",
        "Nothing, or put it before the activation when training anew",
    ),
    Rule(
        "BNX118",
        "bias before BatchNorm",
        "note",
        "In training the batch's mean takes the bias away again: it costs memory and learns nothing",
        "Build the layer with bias=False; in the exported file it is folded",
    ),
    Rule(
        "BNX119",
        "one value a channel",
        "warning",
        "Over 1x1 pixels a batch of N gives N values to take a variance of: noisy below 16, an error at 1 in training",
        "Train with GroupNorm or LayerNorm there, or freeze it; check its statistics: bnexport drift",
    ),
    Rule(
        "BNX120",
        "BatchNorm on sequences",
        "warning",
        "Padding and lengths go into the statistics: the output for a sequence depends on what it was trained beside",
        "Use LayerNorm (Ba et al. 2016), or mask the padding",
    ),
    Rule(
        "BNX121",
        "shared BatchNorm",
        "warning",
        "One set of statistics stands for the inputs of several places: it is an average that fits none of them",
        "Give each place a layer of its own, or check with bnexport drift how far they are apart",
    ),
    Rule(
        "BNX122",
        "float64 BatchNorm",
        "warning",
        "TensorRT has no float64; a float32 model is promoted or fails behind it",
        "Convert it with module.float()",
    ),
    Rule(
        "BNX123",
        "mean far from zero",
        "warning",
        "Taking the mean away cancels digits: the output has that many fewer, in float16 often none",
        "Centre the inputs, or keep this layer in float32 (--precision mixed)",
    ),
    Rule(
        "BNX124",
        "counters differ",
        "note",
        "Some layers saw fewer batches than others: frozen for a part of the training, or not on every path",
        "Where that was not meant: bnexport recalibrate",
    ),
)

RULES = {rule.code: rule for rule in _ALL}
