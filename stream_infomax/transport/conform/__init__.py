"""What is right and wrong in what a device sends, field by field."""
