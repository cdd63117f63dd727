"""Scheduling: equations to kernels (fusion), loop nests, and the memory plan."""
