"""Source: reads a sensor, gives each frame its offset and serves the one log of frames.

Reads the recordings, pictures or signals that [source] names; writes frames to its outlet and its tap.
"""

import sys

from stream_infomax.configuration.serving import serve

if __name__ == "__main__":
    sys.exit(serve(__doc__))
