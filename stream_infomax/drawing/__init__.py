"""What components look like, as numbers: order, scale, mosaics, maps of a head. NumPy only; others put it on paper."""
