"""What can be asked about networks: a function each, with a frozen answer."""
