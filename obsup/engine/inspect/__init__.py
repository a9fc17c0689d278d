"""Inspect buckets, local state and connections: what ``uploads``, ``gc``, ``status`` and ``doctor`` report.

``gc`` goes through open_uploads and gc; ``doctor`` through connection_checks and upload_cycle.
"""
