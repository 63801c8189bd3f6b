"""Exporters: results of builds as directories, tars and images."""
