"""The documentation: generated from the route table, the models and the guides when the service starts."""
