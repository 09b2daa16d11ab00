"""Generated from proto/hardneg/v1 by generate.py. Do not edit."""
