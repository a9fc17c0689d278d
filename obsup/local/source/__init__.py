"""The bytes to upload: files, streams and commands. A part is read from ``file`` or ``stream_parts`` while it is sent."""
