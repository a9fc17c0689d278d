"""The bytes to upload: files, streams and commands, read by ``file`` or ``stream_parts`` while a part is sent."""
