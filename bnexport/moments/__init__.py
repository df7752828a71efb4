"""What a BatchNorm is fed: means and variances of streams, in one pass, and the hooks that see the stream."""

from bnexport.moments.moments import Moments
from bnexport.moments.watchable import watchable
from bnexport.moments.watching import Seen, channels_first, watching

__all__ = ["Moments", "Seen", "channels_first", "watchable", "watching"]
