"""What was learnt, for programs that do without this package: a C header, a file of arrays, an ONNX model."""
