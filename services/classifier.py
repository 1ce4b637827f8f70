"""Classifier: names each segment from the pooled levels below; reads features, writes one row of scores a segment.

Reads the outlet of the service before it; predicts first, then learns from the label, and writes frames with the
scores to its own outlet and its tap.
"""

import sys

from stream_infomax.configuration.serving import serve

if __name__ == "__main__":
    sys.exit(serve(__doc__))
