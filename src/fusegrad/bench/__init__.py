"""``fusegrad bench``: training steps measured against PyTorch and JAX.

``workload.py`` is the record of a workload, ``cases_*.py`` hold the records, ``measure.py`` lets
worker processes (``driver.py``, ``worker.py``, ``frameworks.py``) take turns, ``results.py`` is the
JSON report, ``command.py`` the command line. Nothing here is imported by the rest of fusegrad.
"""
