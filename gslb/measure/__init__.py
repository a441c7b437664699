"""Measuring: logs and reports in, tables out that others may trust."""
