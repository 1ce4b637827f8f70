"""What a source and a sink of MQTT share: the settings of a broker, and a connection that mends itself."""

from __future__ import annotations

import logging
import os
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from msgspec import Meta

from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import optional
from stream_infomax.settings.types import Doc

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

# Seconds that a broker has for its answers to a first connection.
PATIENCE = 10.0
# Seconds between two attempts to connect again, at first and at most.
PAUSE, LONGEST_PAUSE = 1, 30
VARIABLE = "the name of an environment variable that is set"

Host = Annotated[str, Meta(min_length=1), Doc("Where the broker is: a name or an address.")]
Port = Annotated[int, Meta(ge=1, le=65535), Doc("Its port; brokers with TLS usually have 8883.")]
KeepAlive = Annotated[
    int,
    Meta(ge=1, le=65535),
    Doc("Seconds of silence after which the broker is asked whether it is there; half as long again is a break."),
]
ClientId = Annotated[
    str,
    Meta(max_length=65535),
    Doc("Name of the connection at the broker; empty: a random one. Two connections of one name throw each other out."),
]
UserFrom = Annotated[str, Doc("Environment variable that holds the user's name; empty: there is no user.")]
PasswordFrom = Annotated[str, Doc("Environment variable that holds the password; empty: there is none.")]
Tls = Annotated[
    str,
    Doc("File with the certificates (PEM) that the broker's is checked with; `system`: this machine's; empty: no TLS."),
]
Qos = Annotated[int, Meta(ge=0, le=2), Doc("Quality of service: at most once, at least once, exactly once.")]

log = logging.getLogger(__name__)


class BrokerSettings(Protocol):
    """What the records of source and sink say of a broker."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def keepalive(self) -> int: ...

    @property
    def client_id(self) -> str: ...

    @property
    def username_from(self) -> str: ...

    @property
    def password_from(self) -> str: ...

    @property
    def tls(self) -> str: ...


@dataclass(frozen=True)
class Duties:
    """What a connection is for; all of it is called by paho's thread, which must not wait.

    Attributes
    ----------
    topics
        What is subscribed to, at each connection.
    qos
        With which quality of service.
    message
        Takes a message.
    published
        Takes the number of a message that the broker has.
    """

    topics: Sequence[str] = ()
    qos: int = 0
    message: Callable[[MQTTMessage], None] = lambda message: None
    published: Callable[[int], None] = lambda number: None


class Connection:
    """A connection to a broker. What breaks is connected again, sooner or later; the log says so once.

    Parameters
    ----------
    given
        Where the broker is, and who connects.
    duties
        What the connection is for.
    keeps
        Whether the broker keeps for a named connection what comes while it is away.

    Attributes
    ----------
    breaks
        How often it broke.
    number
        Which connection this is, from 1.

    Raises
    ------
    SettingError
        Where an environment variable or a file of certificates is missing.
    """

    def __init__(self, given: BrokerSettings, duties: Duties, *, keeps: bool = False) -> None:
        self.place = f"{given.host}:{given.port}"
        self.breaks = 0
        self.number = 0
        self._given = given
        self._duties = duties
        self._settled = threading.Event()
        self._refusal = ""
        self._opening = False
        self._lost_at = 0.0  # 0: it is there, as far as one knows
        self._closing = False
        self.client = _client(given, keeps)
        self.client.on_connect = self._connected
        self.client.on_subscribe = self._subscribed
        self.client.on_disconnect = self._disconnected
        self.client.on_connect_fail = self._failed
        self.client.on_message = lambda client, data, message: duties.message(message)
        self.client.on_publish = lambda client, data, number, reason, properties: duties.published(number)

    def open(self) -> None:
        """Connect, and wait until the broker has agreed to everything.

        Raises
        ------
        OSError
            Where no broker is there, or it says nothing.
        ValueError
            Where the broker refuses the connection or a topic.
        """
        self._opening = True
        try:
            self.client.connect(self._given.host, self._given.port, self._given.keepalive)
        except (OSError, UnicodeError) as error:
            raise OSError(f"no MQTT broker can be reached at {self.place}: {error}") from error
        self.client.loop_start()
        answered = self._settled.wait(PATIENCE)
        self._opening = False
        if answered and not self._refusal:
            return
        self.close()
        if answered:
            raise ValueError(f"the MQTT broker at {self.place} {self._refusal}")
        raise OSError(f"{self.place} does not answer as an MQTT broker does, for {PATIENCE:g} s")

    def open_later(self) -> None:
        """Connect as soon as the broker is there."""
        self.client.connect_async(self._given.host, self._given.port, self._given.keepalive)
        self.client.loop_start()

    def check(self) -> None:
        """Raise OSError where the thread of the connection has died: nothing would come any more."""
        if self.client._thread is None and not self._closing:
            raise OSError(f"the connection to the MQTT broker at {self.place} has died of an error, see above")

    def close(self) -> None:
        """Say goodbye and end the thread."""
        self._closing = True
        self.client.disconnect()
        self.client.loop_stop()

    def _connected(self, client: Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._refuse(f"refuses the connection: {reason}")
            return
        self.number += 1
        self._refusal = ""
        if self._lost_at:
            log.warning("the MQTT broker at %s is there after %.0f s", self.place, time.monotonic() - self._lost_at)
            self._lost_at = 0.0
        if self._duties.topics:
            client.subscribe([(topic, self._duties.qos) for topic in self._duties.topics])
        else:
            self._settled.set()

    def _subscribed(self, client: Client, data: Any, number: int, reasons: Sequence[Any], properties: Any) -> None:
        refused = [topic for topic, reason in zip(self._duties.topics, reasons, strict=False) if reason.is_failure]
        if refused:
            self._refuse(f"refuses the topics {refused}")
        self._settled.set()

    def _refuse(self, text: str) -> None:
        """Take note of a refusal: `open` ends with it, all else goes on trying."""
        if not self._opening and text != self._refusal:
            log.error("the MQTT broker at %s %s", self.place, text)
        self._refusal = text
        self._settled.set()

    def _disconnected(self, client: Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if self._closing or self._lost_at or not self._settled.is_set():
            return
        self.breaks += 1
        self._lost_at = time.monotonic()
        log.warning("the connection to the MQTT broker at %s broke: %s; it is tried again", self.place, reason)

    def _failed(self, client: Client, data: Any) -> None:
        """Say once that the broker is not there."""
        if not self._lost_at:
            self._lost_at = time.monotonic()
            log.warning("no MQTT broker can be reached at %s; it is tried again", self.place)


def try_out(given: BrokerSettings) -> None:
    """Check that the broker is there. Raises SettingError, with the key, where it is not, or lets nobody in."""
    connection = Connection(given, Duties())
    try:
        connection.open()
    except (OSError, ValueError) as error:
        raise SettingError("host", given.host, "where an MQTT broker is", str(error)) from error
    connection.close()


def check_names(given: BrokerSettings) -> None:
    """Raise SettingError where settings of a broker do not go together."""
    if given.password_from and not given.username_from:
        raise SettingError("password_from", given.password_from, "nothing where username_from is empty")


def _client(given: BrokerSettings, keeps: bool) -> Client:
    """Return a client of paho's that is not connected."""
    with optional():
        import paho.mqtt.client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion
    persistent = keeps and bool(given.client_id)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=given.client_id, clean_session=not persistent)
    client.connect_timeout = PATIENCE / 2
    client.reconnect_delay_set(PAUSE, LONGEST_PAUSE)
    if given.username_from:
        password = _variable("password_from", given.password_from) if given.password_from else None
        client.username_pw_set(_variable("username_from", given.username_from), password)
    if given.tls:
        try:
            client.tls_set(None if given.tls == "system" else given.tls)
        except (OSError, ssl.SSLError) as error:
            raise SettingError(
                "tls", given.tls, "a file of certificates (PEM), `system` or nothing", str(error)
            ) from error
    return client


def _variable(key: str, name: str) -> str:
    if name not in os.environ:
        raise SettingError(key, name, VARIABLE)
    return os.environ[name]
