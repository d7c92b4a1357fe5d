"""Measures of quality that training reports."""
