"""Whether frames of a client are whole, beside what wsproto makes of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from wsproto.frame_protocol import FrameProtocol

from txthoonk.web.frames import are_whole

_SIZES = st.sampled_from((0, 1, 125, 126, 127, 65535, 65536, 70000))


def _framed(kind: str, size: int) -> bytes:
    frames = FrameProtocol(client=True, extensions=[])
    if kind == "text":
        return bytes(frames.send_data("x" * size))
    return bytes(getattr(frames, kind)(b"x" * min(size, 125)))


_FRAMES = st.lists(
    st.builds(_framed, st.sampled_from(("text", "ping", "pong")), _SIZES), max_size=3
)


class WholeTests(SynchronousTestCase):
    """``are_whole``"""

    @given(_FRAMES, st.data())
    def test_cut(self, frames: list[bytes], data: st.DataObject) -> None:
        """Frames are whole if they are cut where one ends, and nowhere else."""
        all = b"".join(frames)
        self.assertTrue(are_whole(all))
        cut = data.draw(st.integers(0, len(all)))
        ends = {sum(map(len, frames[:count])) for count in range(len(frames) + 1)}
        self.assertEqual(are_whole(all[:cut]), cut in ends)

    def test_parts(self) -> None:
        """A frame that is part of a message needs the others."""
        frames = FrameProtocol(client=True, extensions=[])
        for is_last in (False, False, True):
            self.assertFalse(are_whole(frames.send_data("x", fin=is_last)))

    @given(st.binary(max_size=20))
    def test_anything(self, data: bytes) -> None:
        """Bytes that are no frames are looked at without harm."""
        self.assertIn(are_whole(data), (True, False))
