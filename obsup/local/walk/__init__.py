"""The files of a batch: ``walk`` finds them, ``filters`` selects them, ``prefetch`` reads ahead."""
