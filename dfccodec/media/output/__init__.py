"""Writing of videos: frames, audio, subtitles and metadata."""
