"""An audit of the statistics of draws: through the public API, with code and laws of its own."""
