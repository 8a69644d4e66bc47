"""A run ends after its micro-batch when it is told to, and at once when told again."""

import os
import signal

from preprocessing.stream.run import _told_to_end


def test_the_second_signal_is_not_held_back():
    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    with _told_to_end() as end:
        assert not end.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert end.wait(5)
        # A broker may be away: nothing is lost by ending as if killed.
        assert {name: signal.getsignal(name) for name in before} == before
    assert {name: signal.getsignal(name) for name in before} == before
