"""Where frames end: one file a kind, its settings and its class."""
