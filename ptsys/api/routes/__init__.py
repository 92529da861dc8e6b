"""The endpoints: one router a file."""
