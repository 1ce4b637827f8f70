"""Edge: source, stages and sinks of one configuration in this one process, for a small box.

Writes frames with everything that the stages add to the tap of the last one. Nothing draws, nothing supervises: let
systemd start it again. `stream-infomax show` and `encode` read its run folder.
"""

import sys

from stream_infomax.run.edge import main

if __name__ == "__main__":
    sys.exit(main(__doc__))
