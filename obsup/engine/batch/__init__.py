"""Uploads of many files below one prefix.

A request goes uploader -> loop -> known_files (skip, compare or send) -> pool -> file_upload -> small_file, or
engine.upload.uploader for everything that is not small. In groups: loop -> file_groups -> group_worker -> file_upload.
"""
