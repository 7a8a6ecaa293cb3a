"""The worker: leases jobs from the queue and passes each to the handler for its kind."""
