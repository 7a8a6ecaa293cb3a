"""What each route is documented to do, with a real example; a module for each module of handlers.

The OpenAPI document, the reference and the Markdown pages are made of this and of the models.
"""
