"""Reference models as code, each a trap that has bitten someone; none holds weights.

Every module has ``build(seed) -> nn.Module``, in eval mode with statistics as after training, and
``INPUT``, one ``--input`` argument for each input.
"""

NAMES = (
    "audio1d",
    "batch_statistics",
    "depthwise_mobile",
    "loud_audio",
    "residual_classifier",
    "siamese",
    "sync_unet",
)
