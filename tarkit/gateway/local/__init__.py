"""The embedded engine behind the client: builds in this process, with the results of a store."""
