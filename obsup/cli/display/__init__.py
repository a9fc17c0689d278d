"""Show the progress of a transfer: a bar, lines or JSON on stderr, and the log file.

``open_display`` gives the engine an observer of events and a progress callback. A meter adds the events up, and
``progress_text`` turns its readings into text, which the bar, the lines or the JSON objects show.
"""
