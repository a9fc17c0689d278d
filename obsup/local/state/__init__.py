"""The files that obsup writes here: checkpoints, locks, journals, receipts. ``atomic_file`` replaces them."""
