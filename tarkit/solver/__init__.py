"""The embedded engine: definitions of builds are solved in this process, without a daemon."""
