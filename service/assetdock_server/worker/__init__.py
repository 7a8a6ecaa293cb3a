"""The worker: leases jobs from the queue and hands each to the handler for its kind."""
