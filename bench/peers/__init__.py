"""The same endpoint as others would write it in an afternoon, for comparison. See each one's first lines for what it leaves out."""
