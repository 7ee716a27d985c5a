"""A report as text, tables, data and pictures: one module for each format."""
