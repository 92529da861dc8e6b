"""Jobs: records, leases, the queue that announces them, and interactive requests."""
