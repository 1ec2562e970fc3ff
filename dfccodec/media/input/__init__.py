"""Reading of videos: frames, audio, subtitles and metadata."""
