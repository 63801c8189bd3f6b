"""Processes in containers of runc or crun."""
