"""Bytes: what crosses between processes, how it is packed and how it is carried."""
