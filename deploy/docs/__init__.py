"""Builds what documents and the sample configuration repeat of the code."""
