"""Source: reads a sensor, gives each frame its offset and serves the one log of frames.

Reads the recordings, pictures or signals that [source] names; writes frames to its outlet and its tap.
"""

import argparse
import sys
from pathlib import Path

from stream_infomax.configuration.compose import service_of, source_of
from stream_infomax.configuration.load import ConfigError, load
from stream_infomax.service.process import run_source


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, required=True, help="the pipeline's TOML file")
    parser.add_argument("--service", help="accepted for likeness with the other services; there is one source")
    arguments = parser.parse_args()
    try:
        config = load(arguments.config)
        source = source_of(config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return run_source(source, service_of(config, config.source.name), pace=config.source.pace)


if __name__ == "__main__":
    sys.exit(main())
