"""The uploader, in layers: see LAYERS in tests/unit/test_structure.py.

Imports stand at the top of a module. A function imports a module only if it branches there to work that a small upload
never does: sending parts, resuming, remote workers, other processes. tests/e2e/test_startup.py checks what is loaded.
"""
