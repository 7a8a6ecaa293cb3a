"""The same endpoint as others would write it in an afternoon. The first lines of each say what it leaves out."""
