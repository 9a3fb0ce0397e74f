import threading

import pytest

from dptstream.engine.channel import Channel, ChannelClosed


def test_items_come_out_in_order_and_the_rest_survives_a_close() -> None:
    channel: Channel[int] = Channel(3)
    for item in (1, 2, 3):
        channel.put(item)
    channel.close()
    assert list(channel) == [1, 2, 3]


def test_put_after_close_is_refused() -> None:
    channel: Channel[int] = Channel(1)
    channel.close()
    with pytest.raises(ChannelClosed):
        channel.put(1)


def test_abort_drops_what_is_left_and_wakes_a_waiting_writer() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    refused = threading.Event()

    def put_second() -> None:
        try:
            channel.put(2)
        except ChannelClosed:
            refused.set()

    writer = threading.Thread(target=put_second)
    writer.start()
    channel.abort()
    writer.join(60)
    assert refused.is_set()
    assert list(channel) == []
