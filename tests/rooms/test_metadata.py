"""How a peer's metadata are merged, by the server and by the peer itself for its next registration."""

from sleaprtc.protocol.messages import Metadata
from sleaprtc.rooms.metadata import merged


def test_properties_are_merged_by_key_and_tags_are_replaced():
    old = Metadata(("a",), {"x": 1, "y": 2})
    assert merged(old, Metadata(None, {"y": None, "z": 3})) == Metadata(("a",), {"x": 1, "z": 3})
    assert merged(old, Metadata((), None)) == Metadata((), {"x": 1, "y": 2})
