"""Train SLEAP pose-estimation models on a GPU in another room, over WebRTC."""

from ._version import __version__

__all__ = ["__version__"]
