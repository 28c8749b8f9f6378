"""Stages on other machines: the gateway process of a program, the courier and main process of a worker machine."""
