"""Response bodies as Pydantic models, one module per resource.

The database and the worker write the bodies; a test validates each of them against these models. The models forbid
unknown keys, so that no key stays undocumented. The published schemas allow them, because clients must expect new
fields.
"""
