"""The files that obsup writes on this machine: checkpoints, locks, journals, receipts. ``atomic_file`` replaces them."""
