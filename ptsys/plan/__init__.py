"""What a step costs on a named TPU topology, found with TPU's own compiler and without a TPU.

It may import passes, models and what lies below.
"""
