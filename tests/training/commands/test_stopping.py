from __future__ import annotations

import os
import signal

import pytest

from perception_clip.training.commands.terminal import stop_on_signals

pytestmark = pytest.mark.skipif(os.name != "posix", reason="os.kill ends a process of Windows")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_wish_and_the_second_an_order(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), stop_on_signals() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop() and stop()
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_the_old_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(ZeroDivisionError), stop_on_signals():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
