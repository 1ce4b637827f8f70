"""An observer that is given no address hears it at once."""

import pytest

from stream_infomax.streaming.sockets import StreamError
from stream_infomax.streaming.taps import TapReader


@pytest.mark.parametrize("address", ["foo", "tcp://nowhere", "carrier-pigeon://loft"])
def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(StreamError, match=f"cannot listen to {address}: .*accepted are ipc://PATH"):
        TapReader(address)
