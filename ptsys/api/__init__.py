"""The HTTP API: one router a file, no accelerator stack, nothing of a request stored or logged."""
