"""The prompt library: vectors, search and augmentation."""
