"""A training that never ends, for a dashboard to show: workers score, a trainer mines and learns."""
