"""The documentation, made of the URL table, the models and the guides when the service starts."""
