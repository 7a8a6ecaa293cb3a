"""One module for each part of the API; table.py has every URL."""
