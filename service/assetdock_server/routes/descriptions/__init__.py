"""The documentation of each route, with a real example. One module per module of handlers.

The OpenAPI document, the reference and the Markdown pages are generated from these modules and the models.
"""
