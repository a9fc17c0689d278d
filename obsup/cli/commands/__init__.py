"""The declarations of the commands, one module each: arguments, help text, and the call of an action.

A module loads only Click; the action of the same name in ``cli/actions`` loads the engine when the command runs.
"""
