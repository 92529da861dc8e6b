"""What a step costs on a named TPU topology, found with TPU's own compiler and without a TPU."""
