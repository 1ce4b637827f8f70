"""``python -m stream_infomax.cli`` is ``stream-infomax``."""

from stream_infomax.cli import main

main()
