"""Hugging Face configs as specs, read as data."""
