"""An epoch is one for all processes that were forked after it was made."""

from __future__ import annotations

import multiprocessing

from proxy.ground.epoch import Epoch


def test_another_epoch_is_another_number():
    epoch = Epoch()
    seen = {epoch.value}
    for _ in range(100):
        epoch.renew()
        seen.add(epoch.value)
    assert len(seen) == 101


def test_what_a_forked_process_renews_is_renewed_here():
    epoch, other = Epoch(), Epoch()
    before = epoch.value, other.value
    child = multiprocessing.get_context("fork").Process(target=epoch.renew)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert epoch.value != before[0]
    assert other.value == before[1]
