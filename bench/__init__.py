"""What Assetdock costs, measured: `python -m bench`. Nothing here is part of the product."""
