"""Real directories for processes, and the changes that processes make in them."""
