"""Large runs, configured by gin, without the queue."""
