"""What the service remembers: a database, and files under one root."""
